package build

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"sigs.k8s.io/yaml"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

// The scenarios by which authz is tested hold in Envoy too, as far as a client on
// this machine can play them: over HTTP, from its own address. There is no
// application behind the ports, so what is let through ends in a 503.
func TestEnvoyPlaysScenarios(t *testing.T) {
	files, err := filepath.Glob("../../authz/testdata/in/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	in := &mesh.Inbound{Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive}}
	for port := uint32(1); port <= 9; port++ {
		in.Ports = append(in.Ports, mesh.InboundPort{Number: port, Protocol: mesh.HTTP, ServicePort: port})
	}
	in.Ports = append(in.Ports, mesh.InboundPort{Number: 80, Protocol: mesh.HTTP, ServicePort: 80})
	s := startSidecar(t, in)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { s.play(t, *in, file) })
	}
}

func (s *sidecar) play(t *testing.T, in mesh.Inbound, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var scenario struct {
		Policies []*authz.Policy
		Requests []struct {
			Peer, SourceIP, SNI, Host, Method, Path string
			Port                                    uint32
			Headers                                 map[string]string
			TCP                                     bool
		}
	}
	if err := yaml.Unmarshal(raw, &scenario); err != nil {
		t.Fatal(err)
	}
	in.Policies = scenario.Policies
	rules, _ := authz.Compile(in.Policies)
	s.control.await(t, TypeExtension, s.takeFilters(&in))
	for i, r := range scenario.Requests {
		if r.TCP || r.SourceIP != "" || r.SNI != "" && r.Peer == "" {
			continue
		}
		local := netip.MustParseAddr("127.0.0.1")
		asked := authz.Request{
			HTTP: true, SourceIP: local, RemoteIP: local, DestinationIP: local, DestinationPort: r.Port, SNI: r.SNI,
			Host: orElse(r.Host, "web"), Method: orElse(r.Method, "GET"), Path: orElse(r.Path, "/"), Headers: r.Headers,
		}
		var config *tls.Config
		if r.Peer != "" {
			asked.Peer = spiffeid.RequireFromString("spiffe://" + r.Peer)
			config = s.as(asked.Peer.String(), "istio")
			config.ServerName = r.SNI
		}
		got, _ := s.try(r.Port, config, func(req *http.Request) {
			req.Method, req.Host = asked.Method, asked.Host
			req.URL = &url.URL{Scheme: "http", Host: "web", Opaque: asked.Path}
			for k, v := range asked.Headers {
				req.Header.Set(k, v)
			}
		})
		want := "403"
		if rules.Evaluate(asked).Allowed {
			want = "503"
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("request %d, %+v: got %s, want %s", i, asked, got, want)
		}
	}
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
