package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// probeTimeout bounds one probe; the way is a veth and takes microseconds.
const probeTimeout = 2 * time.Second

// probe sends one connection each way and looks where it arrives. The targets
// answer too, so that a connection past the rules is seen to get through.
func (s *Namespace) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	nowhere := "192.0.2.1:80"
	if err := s.arrives(ctx, s, OutboundPort, nowhere); err != nil {
		return fmt.Errorf("probing outbound capture of %s: %w", s.Name, err)
	}
	app, err := s.Listen(ctx, "0.0.0.0:0")
	if err != nil {
		return err
	}
	defer app.Close()
	target := fmt.Sprintf("%s:%d", s.IP, app.Addr().(*net.TCPAddr).Port)
	if err := s.arrives(ctx, s.network.hub, InboundPort, target); err != nil {
		return fmt.Errorf("probing inbound capture of %s: %w", s.Name, err)
	}
	return nil
}

// arrives dials target from a namespace and fails unless the connection comes
// out of the capture port with target as its original destination.
func (s *Namespace) arrives(ctx context.Context, from *Namespace, port int, target string) error {
	l, err := s.Listen(ctx, fmt.Sprintf("0.0.0.0:%d", port))
	if err != nil {
		return fmt.Errorf("taking the capture port before the proxy: %w", err)
	}
	defer l.Close()
	conn, err := from.Dial(ctx, "tcp4", target)
	if err != nil {
		return fmt.Errorf("connection to %s was not caught: %w", target, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := l.(*net.TCPListener).SetDeadline(deadline); err != nil {
		return err
	}
	caught, err := l.Accept()
	if err != nil {
		return fmt.Errorf("connection to %s went past port %d: %w", target, port, err)
	}
	defer caught.Close()
	got, err := OriginalDestination(caught)
	if err != nil {
		return err
	}
	if got.String() != target {
		return fmt.Errorf("connection to %s arrived as one to %s", target, got)
	}
	return nil
}

// OriginalDestination is where a redirected connection was going (SO_ORIGINAL_DST).
func OriginalDestination(conn net.Conn) (netip.AddrPort, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return netip.AddrPort{}, errors.New("reading original destination: not a TCP connection")
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var address netip.AddrPort
	var failed error
	err = raw.Control(func(fd uintptr) {
		// The kernel fills a sockaddr_in; IPv6Mreq is a buffer of the size at hand.
		request, err := unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, unix.SO_ORIGINAL_DST)
		if err != nil {
			failed = fmt.Errorf("reading original destination: %w", err)
			return
		}
		b := request.Multiaddr
		address = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), uint16(b[2])<<8|uint16(b[3]))
	})
	return address, errors.Join(err, failed)
}
