package connections

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Layouts from linux/inet_diag.h; nothing of it is in x/sys.
const (
	requestSize  = 56 // struct inet_diag_req_v2
	responseSize = 72 // struct inet_diag_msg
	sockidOffset = 8  // of struct inet_diag_sockid in a request
	inodeOffset  = 68
	noCookie     = ^uint64(0)
	attrShutdown = 8 // INET_DIAG_SHUTDOWN
	diagTimeout  = 2 // seconds
	diagBuffer   = 64 << 10
)

// sockDiag asks the kernel over NETLINK_SOCK_DIAG. Reading needs no right.
type sockDiag struct {
	mu     sync.Mutex
	fd     int
	seq    uint32
	buffer []byte
}

func openSockDiag() (*sockDiag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, fmt.Errorf("opening the kernel's list of connections: %w", err)
	}
	timeout := unix.Timeval{Sec: diagTimeout}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the kernel's list of connections: %w", err), unix.Close(fd))
	}
	return &sockDiag{fd: fd, buffer: make([]byte, diagBuffer)}, nil
}

func (d *sockDiag) close() error { return unix.Close(d.fd) }

func (d *sockDiag) find(p pair) (found socket, ok bool, err error) {
	err = d.ask(unix.SOCK_DIAG_BY_FAMILY, 0, request(family(p), p, noCookie), func(s socket) {
		// For want of a connection the kernel answers with the listener.
		found, ok = s, s.pair == p
	})
	if errors.Is(err, unix.ENOENT) {
		return socket{}, false, nil
	}
	if err != nil {
		return socket{}, false, fmt.Errorf("looking up a connection: %w", err)
	}
	return found, ok, nil
}

func (d *sockDiag) live() (map[uint64]struct{}, error) {
	cookies := map[uint64]struct{}{}
	for _, of := range []byte{unix.AF_INET, unix.AF_INET6} {
		err := d.ask(unix.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP, request(of, pair{}, 0), func(s socket) {
			if s.open {
				cookies[s.cookie] = struct{}{}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("listing connections: %w", err)
		}
	}
	return cookies, nil
}

// destroy ends a socket if it still has its cookie. It needs CAP_NET_ADMIN.
func (d *sockDiag) destroy(s socket) error {
	err := d.ask(unix.SOCK_DESTROY, 0, request(family(s.pair), s.pair, s.cookie), func(socket) {})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESTALE) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("destroying a socket: %w", err)
	}
	return nil
}

// ask sends one request and hands over what is answered until its end.
func (d *sockDiag) ask(kind, flags uint16, body []byte, take func(socket)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	message := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(message[0:], uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(message[4:], kind)
	// SOCK_DESTROY answers with an acknowledgement only.
	if kind == unix.SOCK_DESTROY {
		flags |= unix.NLM_F_ACK
	}
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST|flags)
	binary.NativeEndian.PutUint32(message[8:], d.seq)
	if err := unix.Sendto(d.fd, append(message, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	for {
		n, _, err := unix.Recvfrom(d.fd, d.buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		if done, err := d.read(d.buffer[:n], flags&unix.NLM_F_DUMP != 0, take); done || err != nil {
			return err
		}
	}
}

// read takes the messages of one datagram; done after the last of an answer.
func (d *sockDiag) read(data []byte, dump bool, take func(socket)) (done bool, err error) {
	for len(data) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(data))
		if length < unix.SizeofNlMsghdr || length > len(data) {
			return false, errors.New("the kernel's answer is cut short")
		}
		body := data[unix.SizeofNlMsghdr:length]
		kind, seq := binary.NativeEndian.Uint16(data[4:]), binary.NativeEndian.Uint32(data[8:])
		data = data[min(len(data), (length+3)&^3):]
		switch {
		case seq != d.seq: // of an earlier question that timed out
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR && len(body) >= 4:
			if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
				return true, unix.Errno(-code)
			}
			return true, nil
		case len(body) >= responseSize:
			take(parseSocket(body))
			if !dump {
				return true, nil
			}
		}
	}
	return false, nil
}

func family(p pair) byte {
	if p.local.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// request is a struct inet_diag_req_v2 for TCP.
func request(family byte, p pair, cookie uint64) []byte {
	b := make([]byte, requestSize)
	b[0], b[1] = family, unix.IPPROTO_TCP
	states := uint32(1<<tcpEstablished | 1<<tcpFinWait1 | 1<<tcpFinWait2 | 1<<tcpCloseWait)
	binary.NativeEndian.PutUint32(b[4:], states) // of a list; a look-up ignores them
	id := b[sockidOffset:]
	binary.BigEndian.PutUint16(id[0:], p.local.Port())
	binary.BigEndian.PutUint16(id[2:], p.remote.Port())
	if p.local.IsValid() {
		copy(id[4:20], p.local.Addr().AsSlice())
		copy(id[20:36], p.remote.Addr().AsSlice())
	}
	binary.NativeEndian.PutUint64(id[40:], cookie)
	return b
}

// parseSocket reads a struct inet_diag_msg and its attributes.
func parseSocket(b []byte) socket {
	id := b[4:]
	address := func(bytes, port []byte) netip.AddrPort {
		if b[0] == unix.AF_INET {
			bytes = bytes[:4]
		}
		addr, _ := netip.AddrFromSlice(bytes)
		return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(port))
	}
	return socket{
		pair:   newPair(address(id[4:20], id[0:]), address(id[20:36], id[2:])),
		cookie: binary.NativeEndian.Uint64(id[40:]),
		inode:  binary.NativeEndian.Uint32(b[inodeOffset:]),
		open:   passes(b[1], shutdownOf(b[responseSize:])),
	}
}

// shutdownOf finds which directions of a socket are shut down.
func shutdownOf(attributes []byte) byte {
	for len(attributes) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(attributes))
		if length < unix.SizeofRtAttr || length > len(attributes) {
			return 0
		}
		if binary.NativeEndian.Uint16(attributes[2:]) == attrShutdown && length > unix.SizeofRtAttr {
			return attributes[unix.SizeofRtAttr]
		}
		attributes = attributes[min(len(attributes), (length+3)&^3):]
	}
	return 0
}
