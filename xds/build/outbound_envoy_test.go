package build

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/test/meshgen"
)

// client is a real Envoy with the outbound side of a scope. Nothing is captured:
// each outbound listener stands on a local port of its own. All else is as built.
type client struct {
	*authority
	control *control
	admin   string            // URL of Envoy's admin interface
	ports   map[string]string // local port by the listener's name
	scope   Scope
	base    []Resource // clusters besides those of services
}

func startClient(t testing.TB, s *mesh.Snapshot, base ...Resource) *client {
	c := &client{authority: newAuthority(t), ports: map[string]string{}, scope: Scope{Namespace: "shop"}, base: base}
	var address string
	c.control, address = startControl(t)
	c.control.serve(typeSecret, c.secrets(webID)...)
	c.serve(t, s)
	c.admin = startEnvoy(t, address)
	return c
}

// serve makes the control plane say what is built of a snapshot; it answers with
// the version of the routes.
func (c *client) serve(t testing.TB, s *mesh.Snapshot) int {
	byType := map[string][]Resource{}
	add := func(resources []Resource) {
		for _, r := range resources {
			if l, ok := r.Message.(*listenerv3.Listener); ok {
				r.Message = c.standIn(t, l)
			}
			byType[r.TypeURL] = append(byType[r.TypeURL], r)
		}
	}
	add(c.base)
	for host := range s.Services {
		add(Clusters(s, c.scope, host))
		add(Endpoints(s, c.scope, host))
	}
	for _, port := range Ports(s, c.scope) {
		add(Port(s, c.scope, port))
	}
	for _, typeURL := range []string{TypeCluster, TypeEndpoint, TypeListener} {
		c.control.serve(typeURL, anys(byType[typeURL])...)
	}
	return c.control.serve(TypeRoute, anys(byType[TypeRoute])...)
}

func (c *client) standIn(t testing.TB, l *listenerv3.Listener) *listenerv3.Listener {
	if c.ports[l.Name] == "" {
		c.ports[l.Name] = strconv.Itoa(need.Port(t))
	}
	number, _ := strconv.Atoi(c.ports[l.Name])
	out := proto.Clone(l).(*listenerv3.Listener)
	out.Address, out.BindToPort = socketAddress("127.0.0.1", uint32(number)), wrapperspb.Bool(true)
	return out
}

// answer is what a backend, or Envoy in its place, said.
type answer struct {
	status  int
	headers http.Header
	body    string
	seen    // of a backend
}

// seen is what a backend saw of a request.
type seen struct {
	Backend string
	Method  string
	Path    string
	Host    string
	Headers http.Header
}

// ask makes one request to a host through the HTTP listener of port 80.
func (c *client) ask(t testing.TB, method, host, path string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:"+c.ports["0.0.0.0_80"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, headers: resp.Header, body: string(body)}
	_ = json.Unmarshal(body, &a.seen)
	return a
}

// backend is a server that tells what it saw and keeps the paths.
type backend struct {
	name string
	port int
	mu   sync.Mutex
	got  []string
}

func startBackend(t testing.TB, name string) *backend {
	b := &backend{name: name}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	b.port = s.Listener.Addr().(*net.TCPAddr).Port
	return b
}

// ServeHTTP implements [http.Handler]. The first request to a path that ends in
// /flaky fails; one to /slow takes a second.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	first := !slices.Contains(b.got, r.URL.Path)
	b.got = append(b.got, r.URL.Path)
	b.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/flaky") && first:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case strings.HasSuffix(r.URL.Path, "/slow"):
		time.Sleep(time.Second)
	}
	w.Header().Set("X-From-Backend", b.name)
	_ = json.NewEncoder(w).Encode(seen{b.name, r.Method, r.URL.RequestURI(), r.Host, r.Header})
}

// saw says whether a path was asked for, now or soon.
func (b *backend) saw(path string) bool {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		b.mu.Lock()
		found := slices.Contains(b.got, path)
		b.mu.Unlock()
		if found {
			return true
		}
	}
	return false
}

// twoVersions is the service web with the versions v1 and v2.
func twoVersions(v1, v2 *backend) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.example.com]
  resolution: STATIC
  location: MESH_EXTERNAL
  ports: [{name: http, number: 80, protocol: HTTP}]
  endpoints:
  - {address: 127.0.0.1, ports: {http: %d}, labels: {version: v1}}
  - {address: 127.0.0.1, ports: {http: %d}, labels: {version: v2}}
---
`, v1.port, v2.port)
}

// startRouted is a client of web with some more YAML.
func startRouted(t testing.TB, yaml string) (c *client, v1, v2 *backend) {
	v1, v2 = startBackend(t, "v1"), startBackend(t, "v2")
	return startClient(t, meshgen.Load(t, twoVersions(v1, v2)+yaml)), v1, v2
}
