package edge

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// mostConnections is what 10,000 agents hold, and half as many more while
	// they change to new proofs, rounded up. One costs some 100 KiB.
	mostConnections = 16_384
	// mostPerAddress is far more than one node's pods hold, behind one address.
	mostPerAddress = 1024
	// sparedFiles are left to the ledger, the metrics and the admin socket.
	sparedFiles = 256
)

// Limits is how many connections may be open at once.
type Limits struct {
	Total int
	// PerAddress counts those of one IPv4 address or one IPv6 /64, which is what
	// one host is given.
	PerAddress int
}

// ProcessLimits are limits that leave this process file descriptors for the rest
// of its work (RLIMIT_NOFILE), few as it may have.
func ProcessLimits() (Limits, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return Limits{}, fmt.Errorf("reading the limit of open files: %w", err)
	}
	return limitsFor(files.Cur), nil
}

func limitsFor(files uint64) Limits {
	n := int(min(files, mostConnections+sparedFiles))
	total := max(n-sparedFiles, n/2, 1)
	return Limits{Total: total, PerAddress: max(min(mostPerAddress, total/2), 1)}
}

// listener closes at once what comes above its limits. Waiting instead would let
// who holds connections keep all others out without a sign.
type listener struct {
	net.Listener
	limits  Limits
	open    prometheus.Gauge
	refused *prometheus.CounterVec

	mu    sync.Mutex
	total int
	from  map[netip.Prefix]int
}

// NewListener is inner with limits; it registers ensign_edge_connections and
// ensign_edge_connections_refused_total{reason}.
func NewListener(inner net.Listener, limits Limits, reg prometheus.Registerer) net.Listener {
	l := &listener{
		Listener: inner, limits: limits, from: map[netip.Prefix]int{},
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ensign_edge_connections", Help: "Connections open to the agents' port.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_edge_connections_refused_total",
			Help: "Connections to the agents' port closed at once because too many were open: in all (total) or from one address (address).",
		}, []string{"reason"}),
	}
	for _, reason := range []string{"total", "address"} {
		l.refused.WithLabelValues(reason)
	}
	reg.MustRegister(l.open, l.refused)
	return l
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(conn.RemoteAddr())
		if reason := l.enter(source); reason != "" {
			l.refused.WithLabelValues(reason).Inc()
			_ = conn.Close()
			continue
		}
		return &counted{Conn: conn, leave: sync.OnceFunc(func() { l.leave(source) })}, nil
	}
}

// enter counts a connection in, or says which limit is reached.
func (l *listener) enter(source netip.Prefix) (reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from[source] >= l.limits.PerAddress {
		return "address"
	}
	if l.total >= l.limits.Total {
		return "total"
	}
	l.total++
	l.from[source]++
	l.open.Set(float64(l.total))
	return ""
}

func (l *listener) leave(source netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	l.open.Set(float64(l.total))
	if l.from[source]--; l.from[source] == 0 {
		delete(l.from, source)
	}
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

// sourceOf is whom a connection is counted for; what has no IP address shares
// one count.
func sourceOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
