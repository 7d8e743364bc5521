package build

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/ensign-mesh/ensign/mesh"
)

// talk opens a connection to a TCP application and keeps it.
func (s *sidecar) talk(t *testing.T, port uint32, config *tls.Config) net.Conn {
	t.Helper()
	conn, err := s.dial(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if config != nil {
		conn = tls.Client(conn, config)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatalf("%q %v", line, err)
	}
	return conn
}

// lives says whether the application still answers.
func lives(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprint(conn, "ping\n"); err != nil {
		return false
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && line == "ping\n"
}

// Recycled chains close the mTLS connections of before, silent ones too, within
// Envoy's drain time; those in plaintext stay, and new ones are taken meanwhile.
func TestRecycleClosesConnections(t *testing.T) {
	tcp := talker(t)
	in := &mesh.Inbound{
		Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: mesh.Permissive},
		Ports: []mesh.InboundPort{{Number: tcp, Protocol: mesh.TCP, ServicePort: 81}},
	}
	s := startSidecar(t, in)
	alice := s.as(aliceID, "istio")
	old, plain := s.talk(t, tcp, alice), s.talk(t, tcp, nil)
	recycled := func(revision uint64) Resource {
		r := Recycle(Inbound(s.snap, in)[0], revision)
		s.standIn(r.Message.(*listenerv3.Listener))
		return r
	}
	s.control.await(t, TypeListener, s.control.serve(TypeListener, packed(recycled(1).Message)))
	fresh := s.talk(t, tcp, alice)
	eventually(t, "the old mTLS connection closed", func() bool { return !lives(old) })
	if !lives(plain) || !lives(fresh) {
		t.Error("plaintext or a new connection was closed too")
	}
	s.control.await(t, TypeListener, s.control.serve(TypeListener, packed(recycled(2).Message)))
	eventually(t, "the next revision closes the next connection", func() bool { return !lives(fresh) })
}
