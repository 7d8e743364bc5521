package connections

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// called are connections of Envoy's to servers, made for a plain client.
func (m *mesh) called(t testing.TB) []*line {
	t.Helper()
	resp, err := http.Get("http://" + m.toHTTP + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	stream := &line{what: "HTTP stream to a server", speak: func() error { return nil }}
	stream.follow(resp.Body)
	conn, err := net.Dial("tcp", m.toTCP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	exchange(t, conn)
	tcp := &line{what: "TCP to a server", speak: func() error { _, err := conn.Write([]byte("hi")); return err }}
	tcp.follow(conn)
	return []*line{stream, tcp}
}

// A server that is cut off, by its certificate or its name, loses the connections
// that Envoy has with it; another server behind the same cluster keeps its own.
func TestCutsTheServerAndNoOther(t *testing.T) {
	table := running(t)
	m := startMesh(t, table)
	table.SetEnvoy(m.pid, false)
	kept := m.called(t)
	leaf := m.serve(t, serverID) // of the same identity: only the certificate tells
	leafOnly := m.called(t)
	m.serve(t, "spiffe://td/ns/shop/sa/fake")
	quarantined := m.called(t)
	knows(t, table, 6)
	time.Sleep(settle)
	start := time.Now()
	table.Apply(Orders{Revision: 1, Certificates: []string{fingerprint(leaf)}})
	mustEnd(t, start, leafOnly)
	mustLive(t, quarantined)
	start = time.Now()
	table.Apply(Orders{Revision: 2, Identities: []string{"spiffe://td/ns/shop/sa/fake"}})
	mustEnd(t, start, quarantined)
	mustLive(t, kept)
	obeyed(t, table, 2)
}

// An issuer that is not believed any more takes all of its leaves along, and those
// only. Its name has two parts, as the CA's has, which Envoy and Go print alike.
func TestCutsAnIssuer(t *testing.T) {
	table := running(t)
	doubted := newIssuer(t)
	m := startMesh(t, table, doubted.Leaf)
	table.SetEnvoy(m.pid, false)
	bob, alice := m.caller(t, bobID), m.caller(t, aliceID)
	alice.config.Certificates[0] = doubted.issue(t, aliceID)
	kept := append(bob.inbound(t), m.called(t)...)
	server := doubted.issue(t, serverID)
	m.server.Store(&server)
	cut := append(alice.inbound(t), m.called(t)...)
	knows(t, table, len(cut)+len(kept))
	time.Sleep(settle)
	table.Apply(Orders{Revision: 1, Issuers: []string{"CN=Ensign issuer x"}})
	obeyed(t, table, 1)
	mustLive(t, append(cut, kept...))
	start := time.Now()
	table.Apply(Orders{Revision: 2, Issuers: []string{doubted.Leaf.Subject.String()}})
	mustEnd(t, start, cut)
	mustLive(t, kept)
}
