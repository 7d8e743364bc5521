package build

import (
	"testing"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

// A denied client gets no word through to a TCP application, whichever of them
// speaks first. What a server says unasked the client does hear: see the
// package's comment. If Envoy stops that, the comment has to go.
func TestDenyOnTCP(t *testing.T) {
	port := talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
		Ports: []mesh.InboundPort{{Number: port, Protocol: mesh.TCP, ServicePort: 81}},
		Policies: []*authz.Policy{{Namespace: "shop", Name: "p", Action: authz.Deny, Rules: []authz.Rule{
			{From: []authz.Source{{Principals: []string{"td/ns/shop/sa/alice"}}}},
		}}},
	}
	s := startSidecar(t, in)
	alice, bob := s.as(aliceID, "istio"), s.as("spiffe://td/ns/shop/sa/bob", "istio")
	if s.echoes(t, port, alice) {
		t.Error("alice is answered")
	}
	if got := s.greet(t, port, alice, true); got != "hello\n" {
		t.Errorf("alice, waiting for the server, heard %q", got)
	}
	if !s.echoes(t, port, bob) {
		t.Error("bob is not answered")
	}
	if got := s.greet(t, port, bob, true); got != "hello\nping\n" {
		t.Errorf("bob, waiting for the server, heard %q", got)
	}
}
