package build

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

// What docs/threat-model.md says of paths: they are compared as Envoy's normal
// form, which leaves doubled and percent-encoded slashes. When this fails because
// Envoy refuses them, the page has to change.
func TestPathsAreComparedInNormalForm(t *testing.T) {
	port := application(t)
	s := startSidecar(t, &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{{Number: port, Protocol: mesh.HTTP, ServicePort: 80}},
		Policies: []*authz.Policy{{Namespace: "shop", Name: "p", Action: authz.Deny, Rules: []authz.Rule{
			{To: []authz.Operation{{Paths: []string{"/admin/*"}}}},
		}}},
	})
	for path, want := range map[string]string{
		"/admin/prices": "403", "/books/../admin/prices": "403", "/./admin/prices": "403", "/books/%2e%2e/admin/prices": "403",
		"//admin/prices": "200", "/admin%2fprices": "200", "/books/..%2fadmin/prices": "200",
	} {
		if got := s.answers(t, port, "GET "+path+" HTTP/1.1"); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %s", path, got, want)
		}
	}
}

func TestHTTP10IsToldToUpgrade(t *testing.T) {
	port := application(t)
	s := startSidecar(t, &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{{Number: port, Protocol: mesh.HTTP, ServicePort: 80}},
	})
	if got := s.answers(t, port, "GET / HTTP/1.0"); !strings.Contains(got, " 426 ") {
		t.Errorf("got %q", got)
	}
}

// answers is the first line of the answer to a request that is written as it stands.
func (s *sidecar) answers(t *testing.T, port uint32, request string) string {
	conn, err := s.dial(port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, request+"\r\nHost: web\r\n\r\n")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return line
}
