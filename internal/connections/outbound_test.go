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
	table.Apply(Orders{Revision: 1, Certificates: []Certificate{order(leaf)}})
	mustEnd(t, start, leafOnly)
	mustLive(t, quarantined)
	start = time.Now()
	table.Apply(Orders{Revision: 2, Identities: []string{"spiffe://td/ns/shop/sa/fake"}})
	mustEnd(t, start, quarantined)
	mustLive(t, kept)
	obeyed(t, table, 2)
}

// An issuer that is not believed any more takes all of its leaves along.
func TestCutsAnIssuer(t *testing.T) {
	table := running(t)
	m := startMesh(t, table)
	table.SetEnvoy(m.pid, false)
	alice := m.caller(t, aliceID)
	lines := append(alice.inbound(t), m.called(t)...)
	knows(t, table, len(lines))
	time.Sleep(settle)
	start := time.Now()
	table.Apply(Orders{Revision: 1, Issuers: []string{"CN=another"}})
	obeyed(t, table, 1)
	mustLive(t, lines)
	table.Apply(Orders{Revision: 2, Issuers: []string{alice.leaf.Issuer.String()}})
	mustEnd(t, start, lines)
}
