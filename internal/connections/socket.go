package connections

import "net/netip"

// pair are the two ends of a TCP connection as the kernel sees them here.
type pair struct{ local, remote netip.AddrPort }

func newPair(local, remote netip.AddrPort) pair {
	return pair{local: plain(local), remote: plain(remote)}
}

// plain is the one spelling of an address: a socket that serves both IP versions
// shows IPv4 as IPv6.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// socket is a TCP connection as the kernel has it now.
type socket struct {
	pair
	// cookie is the kernel's own name of the socket, never given out twice.
	cookie uint64
	// inode is what /proc/PID/fd shows.
	inode uint32
	// open: bytes can still pass, in one direction at least.
	open bool
}

// States of TCP and a bit of sk_shutdown, from linux/net/tcp_states.h and sock.h.
const (
	tcpEstablished = 1
	tcpFinWait1    = 4
	tcpFinWait2    = 5
	tcpCloseWait   = 8
	rcvShutdown    = 1
)

// passes says whether bytes can pass in a state. In FIN_WAIT they still come in
// (Envoy closed one direction for a client that reads to the end) unless reading
// was shut down too, as we do.
func passes(state, shutdown byte) bool {
	switch state {
	case tcpEstablished, tcpCloseWait:
		return true
	case tcpFinWait1, tcpFinWait2:
		return shutdown&rcvShutdown == 0
	}
	return false
}

// sockets is the kernel's list of TCP connections in this network namespace.
type sockets interface {
	// find is the connection between two ends; false if there is none.
	find(pair) (socket, bool, error)
	// live are the cookies of all connections that may pass bytes.
	live() (map[uint64]struct{}, error)
}

// ender ends connections. The answer holds one error, or nil, for each; one that is
// gone already, or is another than was meant, is left alone and no error.
type ender interface {
	end([]socket) []error
}
