package connections

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// from dials as a client whose own port is given (0: any) and ends by a reset, so
// that the next one can have the same addresses at once.
func (c caller) from(t testing.TB, port int) *tls.Conn {
	t.Helper()
	dialer := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port},
		Control: func(_, _ string, raw syscall.RawConn) (err error) {
			raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
			return err
		},
	}
	conn, err := dialer.DialContext(context.Background(), "tcp", c.tcp)
	if err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).SetLinger(0)
	return tls.Client(conn, c.config)
}

// A neighbour who gets the very addresses of a connection that was cut off, before
// or after the order, keeps its own.
func TestANeighbourWithTheSameAddressesIsLeftAlone(t *testing.T) {
	table := running(t)
	m := startMesh(t, table)
	table.SetEnvoy(m.pid, false)
	alice, bob := m.caller(t, aliceID), m.caller(t, bobID)
	for _, wait := range []time.Duration{0, 20 * time.Millisecond, settle, 2 * settle} {
		first := alice.from(t, 0)
		exchange(t, first)
		time.Sleep(wait)
		port := first.LocalAddr().(*net.TCPAddr).Port
		first.NetConn().Close()
		second := bob.from(t, port)
		exchange(t, second)
		l := &line{what: "TCP", speak: func() error { _, err := second.Write([]byte("hi")); return err }}
		l.follow(second)
		time.Sleep(wait / 2)
		table.Apply(Orders{Revision: 1, Identities: []string{aliceID}})
		time.Sleep(4 * settle)
		mustLive(t, []*line{l})
		table.Apply(Orders{})
		second.NetConn().Close()
	}
	if state, _ := table.State(); state.Cut != 0 {
		t.Errorf("%d connections were cut", state.Cut)
	}
}
