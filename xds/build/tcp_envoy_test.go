package build

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

// hears is the first line that a TCP application says to a client that says
// nothing itself, or only that it has nothing to say.
func (s *sidecar) hears(t *testing.T, port uint32, config *tls.Config, end bool, within time.Duration) string {
	raw, err := s.dial(port)
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, config)
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	if end {
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	conn.SetReadDeadline(time.Now().Add(within))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

// A denied client neither says nor hears a word, whoever speaks first; where no
// policy can refuse anybody, a server may speak first as ever.
func TestDenyOnTCP(t *testing.T) {
	guarded, open := talker(t), talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
		Ports: []mesh.InboundPort{
			{Number: guarded, Protocol: mesh.TCP, ServicePort: 81}, {Number: open, Protocol: mesh.TCP, ServicePort: 82},
		},
		Policies: []*authz.Policy{{Namespace: "shop", Name: "p", Action: authz.Deny, Rules: []authz.Rule{{
			From: []authz.Source{{Principals: []string{"td/ns/shop/sa/alice"}}},
			To:   []authz.Operation{{Ports: []string{fmt.Sprint(guarded)}}},
		}}}},
	}
	s := startSidecar(t, in)
	alice, bob := s.as(aliceID, "istio"), s.as("spiffe://td/ns/shop/sa/bob", "istio")
	if s.echoes(t, guarded, alice) {
		t.Error("alice is answered")
	}
	for _, end := range []bool{false, true} {
		if got := s.hears(t, guarded, alice, end, time.Second); got != "" {
			t.Errorf("alice, waiting for the server (having ended: %v), heard %q", end, got)
		}
	}
	if !s.echoes(t, guarded, bob) {
		t.Error("bob is not answered")
	}
	for name, config := range map[string]*tls.Config{"alice": alice, "bob": bob} {
		if got := s.greet(t, open, config, true); got != "hello\nping\n" {
			t.Errorf("%s, on a port without policy, heard %q", name, got)
		}
	}
}

// A policy that comes later closes a port to new silent clients too.
func TestFirstDenyOnTCP(t *testing.T) {
	port := talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Strict},
		Ports: []mesh.InboundPort{{Number: port, Protocol: mesh.TCP, ServicePort: 81}},
	}
	s := startSidecar(t, in)
	alice := s.as(aliceID, "istio")
	if got := s.hears(t, port, alice, false, 10*time.Second); got != "hello\n" {
		t.Errorf("before: heard %q", got)
	}
	denied := *in
	denied.Policies = []*authz.Policy{{Namespace: "shop", Name: "p", Action: authz.Allow}}
	s.control.await(t, TypeExtension, s.take(t, &denied))
	deadline := time.Now().Add(10 * time.Second)
	for s.hears(t, port, alice, false, time.Second) != "" {
		if time.Now().After(deadline) {
			t.Fatal("after ten seconds she still hears the server")
		}
	}
}
