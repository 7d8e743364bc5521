package build

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

// drawSome draws up to two of the values, mostly none: a rule that asks for much
// matches nothing, and shows nothing.
func drawSome(t *rapid.T, values ...string) []string {
	if rapid.IntRange(0, 5).Draw(t, "any") > 0 {
		return nil
	}
	return rapid.SliceOfN(rapid.SampledFrom(values), 1, 2).Draw(t, "values")
}

var (
	principals = []string{"td/ns/shop/sa/alice", "td/ns/shop/sa/bob", "td/ns/shop/*", "*/sa/bob", "*/td/ns/ops/sa/bob", "*"}
	namespaces = []string{"shop", "ops", "sh*", "*ps", "*"}
	accounts   = []string{"shop/alice", "ops/bob"}
	networks   = []string{"127.0.0.0/8", "10.0.0.0/8", "127.0.0.1"}
	hosts      = []string{"web", "Web", "*.example", "web.*", "*"}
	methods    = []string{"GET", "POST", "P*", "*"}
	paths      = []string{"/a", "/a/*", "*.png", "/", "*"}
	headers    = []string{"red", "re*", "*ed", "*"}
	names      = []string{"web", "*.example", "*"}
)

func drawRule(t *rapid.T, ports []string) authz.Rule {
	var r authz.Rule
	for range rapid.IntRange(0, 2).Draw(t, "sources") {
		r.From = append(r.From, authz.Source{
			Principals: drawSome(t, principals...), NotPrincipals: drawSome(t, principals...),
			Namespaces: drawSome(t, namespaces...), NotNamespaces: drawSome(t, namespaces...),
			ServiceAccounts: drawSome(t, accounts...), NotServiceAccounts: drawSome(t, accounts...),
			IPBlocks: drawSome(t, networks...), NotIPBlocks: drawSome(t, networks...),
		})
	}
	for range rapid.IntRange(0, 2).Draw(t, "operations") {
		r.To = append(r.To, authz.Operation{
			Hosts: drawSome(t, hosts...), NotHosts: drawSome(t, hosts...), Ports: drawSome(t, ports...), NotPorts: drawSome(t, ports...),
			Methods: drawSome(t, methods...), NotMethods: drawSome(t, methods...), Paths: drawSome(t, paths...), NotPaths: drawSome(t, paths...),
		})
	}
	conditions := map[string][]string{
		"request.headers[X-Team]": headers, "source.namespace": namespaces, "source.principal": principals,
		"destination.ip": networks, "source.ip": networks, "connection.sni": names, "destination.port": ports,
	}
	for range rapid.IntRange(0, 2).Draw(t, "conditions") {
		key := rapid.SampledFrom([]string{"request.headers[X-Team]", "source.namespace", "source.principal",
			"destination.ip", "source.ip", "connection.sni", "destination.port"}).Draw(t, "key")
		r.When = append(r.When, authz.Condition{Key: key, Values: drawSome(t, conditions[key]...), NotValues: drawSome(t, conditions[key]...)})
	}
	return r
}

func drawPolicies(t *rapid.T, ports []string) []*authz.Policy {
	var out []*authz.Policy
	for i := range rapid.IntRange(0, 3).Draw(t, "policies") {
		p := &authz.Policy{Namespace: "shop", Name: fmt.Sprint("p", i), Action: rapid.SampledFrom([]authz.Action{authz.Allow, authz.Deny}).Draw(t, "action")}
		for range rapid.IntRange(0, 2).Draw(t, "rules") {
			p.Rules = append(p.Rules, drawRule(t, ports))
		}
		out = append(out, p)
	}
	return out
}

func drawRequest(t *rapid.T, web, tcp uint32) authz.Request {
	local := netip.MustParseAddr("127.0.0.1")
	r := authz.Request{SourceIP: local, RemoteIP: local, DestinationIP: local, DestinationPort: tcp}
	if id := rapid.SampledFrom([]string{"", aliceID, "spiffe://td/ns/ops/sa/bob", "spiffe://td/other/form"}).Draw(t, "peer"); id != "" {
		r.Peer = spiffeid.RequireFromString(id)
		r.SNI = rapid.SampledFrom([]string{"", "web", "a.example"}).Draw(t, "sni")
	}
	if r.HTTP = rapid.Bool().Draw(t, "http"); !r.HTTP {
		return r
	}
	r.DestinationPort = web
	r.Host = rapid.SampledFrom([]string{"web", "WEB", "a.example", "web.a", "Web:80", "web.", "web.:80", "a.example:1", "a.example.", "A.example.:1", "a.example.org:1"}).Draw(t, "host")
	r.Method = rapid.SampledFrom([]string{"GET", "POST", "DELETE"}).Draw(t, "method")
	r.Path = rapid.SampledFrom([]string{"/", "/a", "/a?x=/b", "/a/b", "/x.png?y", "/a/../b"}).Draw(t, "path")
	if rapid.Bool().Draw(t, "team") {
		r.Headers = map[string]string{"x-team": rapid.SampledFrom([]string{"red", "blue", "reed"}).Draw(t, "value")}
	}
	return r
}

// allowed asks Envoy.
func (s *sidecar) allowed(t *rapid.T, r authz.Request) bool {
	config := s.configs[r.Peer.String()]
	if config != nil {
		config = config.Clone()
		config.ServerName = r.SNI
	}
	if !r.HTTP {
		return s.echoes(t, r.DestinationPort, config)
	}
	got, _ := s.try(r.DestinationPort, config, func(req *http.Request) {
		req.Method, req.Host = r.Method, r.Host
		req.URL = &url.URL{Scheme: "http", Host: "web", Opaque: r.Path}
		for k, v := range r.Headers {
			req.Header.Set(k, v)
		}
	})
	if !strings.HasPrefix(got, "200") && !strings.HasPrefix(got, "403 RBAC: access denied") {
		t.Fatalf("neither allowed nor denied: %s", got)
	}
	return strings.HasPrefix(got, "200")
}

// Names may be as long as Kubernetes lets them be.
func TestEnvoyTakesLongNames(t *testing.T) {
	port := application(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
		Ports: []mesh.InboundPort{{Number: port, Protocol: mesh.HTTP, ServicePort: 80}},
	}
	s := startSidecar(t, in)
	namespace, name := strings.Repeat("n", 63), strings.Repeat("s", 253)
	config := s.as("spiffe://td/ns/"+namespace+"/sa/"+name, "istio")
	for what, source := range map[string]authz.Source{
		"namespace":  {Namespaces: []string{namespace}},
		"suffix":     {Namespaces: []string{"*" + namespace}},
		"prefix":     {Namespaces: []string{namespace + "*"}},
		"account":    {ServiceAccounts: []string{namespace + "/" + name}},
		"principal":  {Principals: []string{"td/ns/" + namespace + "/sa/" + name}},
		"its suffix": {Principals: []string{"*/" + namespace + "/sa/" + name}},
	} {
		t.Run(what, func(t *testing.T) {
			next := *in
			next.Policies = []*authz.Policy{{Namespace: "shop", Name: "p", Action: authz.Allow, Rules: []authz.Rule{{From: []authz.Source{source}}}}}
			s.control.await(t, TypeExtension, s.takeFilters(&next))
			if got, _ := s.try(port, config, nil); !strings.HasPrefix(got, "200") {
				t.Errorf("got %s", got)
			}
			if got, _ := s.try(port, s.as(aliceID, "istio"), nil); !strings.HasPrefix(got, "403") {
				t.Errorf("another account: got %s", got)
			}
		})
	}
}

// echoes says whether a TCP application answers to a client that speaks at once.
func (s *sidecar) echoes(t fataler, port uint32, config *tls.Config) bool {
	conn, err := s.dial(port)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if config != nil {
		conn = tls.Client(conn, config)
	}
	fmt.Fprint(conn, "ping\n")
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if lines.Text() == "ping" {
			return true
		}
	}
	return false
}

// takeFilters serves the policies alone, which is all that a policy changes.
func (s *sidecar) takeFilters(in *mesh.Inbound) int {
	var filters []Resource
	for _, r := range Inbound(s.snap, in) {
		if r.TypeURL == TypeExtension {
			filters = append(filters, r)
		}
	}
	return s.control.serve(TypeExtension, anys(filters)...)
}

// What authz decides is what Envoy does, whatever the policies and the request.
func TestEnvoyAgreesWithAuthz(t *testing.T) {
	web, tcp := application(t), talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{{Number: web, Protocol: mesh.HTTP, ServicePort: 80}, {Number: tcp, Protocol: mesh.TCP, ServicePort: 81}},
	}
	s := startSidecar(t, in)
	for _, id := range []string{aliceID, "spiffe://td/ns/ops/sa/bob", "spiffe://td/other/form"} {
		s.configs[id] = s.as(id, "istio")
	}
	ports := []string{fmt.Sprint(web), fmt.Sprint(tcp), "1"}
	allowed, denied := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		next := *in
		next.Policies = drawPolicies(rt, ports)
		rules, _ := authz.Compile(next.Policies)
		s.control.await(t, TypeExtension, s.takeFilters(&next))
		for range 5 {
			r := drawRequest(rt, web, tcp)
			asked := r
			if asked.Path == "/a/../b" {
				asked.Path = "/b" // policies see the normal form
			}
			verdict := rules.Evaluate(asked)
			if verdict.Allowed {
				allowed++
			} else {
				denied++
			}
			if got := s.allowed(rt, r); got != verdict.Allowed {
				rt.Fatalf("Envoy says allowed=%v of %+v, authz says %s", got, r, verdict)
			}
		}
	})
	if allowed == 0 || denied == 0 {
		t.Errorf("%d allowed, %d denied: the draw shows nothing", allowed, denied)
	}
	t.Logf("%d allowed, %d denied", allowed, denied)
}
