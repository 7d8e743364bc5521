package connections

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// connected are the two ends of a connection of this process.
func connected(t testing.TB, network, address string) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("%s: %v", address, err)
	}
	defer l.Close()
	one, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close(); other.Close() })
	return one.(*net.TCPConn), other.(*net.TCPConn)
}

func pairOf(c *net.TCPConn) pair {
	return newPair(c.LocalAddr().(*net.TCPAddr).AddrPort(), c.RemoteAddr().(*net.TCPAddr).AddrPort())
}

func newDiag(t testing.TB) *sockDiag {
	t.Helper()
	diag, err := openSockDiag()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { diag.close() })
	return diag
}

// What the kernel says of a socket is what the socket says of itself, in both
// versions of IP and for a socket that serves both.
func TestFindsTheSocket(t *testing.T) {
	diag := newDiag(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		_, server := connected(t, "tcp", address)
		s, ok, err := diag.find(pairOf(server))
		if err != nil || !ok || !s.open {
			t.Fatalf("%s: %+v, %v, %v", address, s, ok, err)
		}
		raw, err := server.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			var stat unix.Stat_t
			cookie, err := unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE)
			if err != nil || cookie != s.cookie || unix.Fstat(int(fd), &stat) != nil || stat.Ino != uint64(s.inode) {
				t.Errorf("%s: cookie %x, inode %d, %v; found %+v", address, cookie, stat.Ino, err, s)
			}
		})
		live, err := diag.live()
		if err != nil || !has(live, s.cookie) {
			t.Errorf("%s: not in the list of %d, %v", address, len(live), err)
		}
	}
}

// A half-closed connection still passes bytes; one that nobody has is not found,
// nor is the listener in its place.
func TestWhatIsOpen(t *testing.T) {
	diag := newDiag(t)
	client, server := connected(t, "tcp", "127.0.0.1:0")
	open := func(what string, c *net.TCPConn, want bool) {
		t.Helper()
		if s, ok, err := diag.find(pairOf(c)); err != nil || (ok && s.open) != want {
			t.Errorf("%s: %+v, %v, %v; want %v", what, s, ok, err, want)
		}
	}
	open("whole", server, true)
	server.CloseWrite()
	open("half-closed by itself", server, true)
	open("half-closed by the other", client, true)
	client.CloseWrite()
	open("closed both ways", server, false)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := pair{local: l.Addr().(*net.TCPAddr).AddrPort(), remote: pairOf(client).local}
	if s, ok, err := diag.find(p); ok || err != nil {
		t.Errorf("nobody's connection: %+v, %v", s, err)
	}
}

// Neither way of ending a connection touches a socket whose cookie is another.
func TestAnotherSocketIsLeftAlone(t *testing.T) {
	diag := newDiag(t)
	d, err := openDescriptors(unix.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	for name, ender := range map[string]ender{"pidfd": d, "destroy": destroyer{diag}} {
		_, server := connected(t, "tcp", "127.0.0.1:0")
		s, ok, err := diag.find(pairOf(server))
		if err != nil || !ok {
			t.Fatal(err)
		}
		other := s
		other.cookie++
		if errs := ender.end([]socket{other}); errs[0] != nil {
			t.Errorf("%s: %v", name, errs[0])
		}
		if still, _, _ := diag.find(s.pair); !still.open {
			t.Errorf("%s ended a socket with another cookie", name)
		}
		if errs := ender.end([]socket{s}); errs[0] != nil {
			if name == "destroy" && unix.Geteuid() != 0 {
				continue
			}
			t.Errorf("%s: %v", name, errs[0])
		}
		if still, _, _ := diag.find(s.pair); still.open {
			t.Errorf("%s left the socket open", name)
		}
	}
}

// FuzzAnswer: whatever the bytes, reading an answer neither fails hard nor hangs.
func FuzzAnswer(f *testing.F) {
	f.Add(make([]byte, unix.SizeofNlMsghdr+responseSize+8))
	f.Fuzz(func(_ *testing.T, data []byte) {
		new(sockDiag).read(data, true, func(socket) {})
	})
}
