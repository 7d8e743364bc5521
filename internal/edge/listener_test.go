package edge

import (
	"net"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// queue is a listener whose connections come from where the test says.
type queue chan net.Conn

func (q queue) Accept() (net.Conn, error) {
	conn, ok := <-q
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (q queue) Close() error   { close(q); return nil }
func (q queue) Addr() net.Addr { return &net.TCPAddr{} }

type caller struct {
	net.Conn
	from string
}

func (c caller) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.from), Port: 4000} }

// door is a listener that somebody accepts from.
type door struct {
	*listener
	outside  queue
	accepted chan net.Conn
}

func newDoor(t *testing.T, limits Limits) door {
	t.Helper()
	d := door{outside: make(queue), accepted: make(chan net.Conn)}
	d.listener = NewListener(d.outside, limits, prometheus.NewRegistry()).(*listener)
	t.Cleanup(func() { d.outside.Close() })
	go func() {
		for {
			conn, err := d.Accept()
			if err != nil {
				return
			}
			d.accepted <- conn
		}
	}()
	return d
}

// knock connects from an address; nil if the connection is closed at once.
func (d door) knock(from string) net.Conn {
	far, near := net.Pipe()
	d.outside <- caller{near, from}
	refused := make(chan error, 1)
	go func() {
		_, err := far.Read(make([]byte, 1))
		refused <- err
	}()
	select {
	case conn := <-d.accepted:
		return conn
	case <-refused:
		return nil
	}
}

func TestConnectionsAboveTheLimitsAreClosed(t *testing.T) {
	d := newDoor(t, Limits{Total: 3, PerAddress: 2})
	first := d.knock("10.0.0.1")
	if first == nil || d.knock("10.0.0.1") == nil {
		t.Fatal("refused below the limits")
	}
	if d.knock("::ffff:10.0.0.1") != nil {
		t.Error("a third connection from one address was taken")
	}
	if d.knock("10.0.0.2") == nil {
		t.Error("another address pays for the first one's")
	}
	if d.knock("10.0.0.3") != nil {
		t.Error("a fourth connection was taken")
	}
	for reason, want := range map[string]float64{"address": 1, "total": 1} {
		if got := testutil.ToFloat64(d.refused.WithLabelValues(reason)); got != want {
			t.Errorf("%v refused by %s, want %v", got, reason, want)
		}
	}
	first.Close()
	first.Close()
	if open := testutil.ToFloat64(d.open); open != 2 {
		t.Errorf("%v open, want 2", open)
	}
	if d.knock("10.0.0.1") == nil {
		t.Error("a closed connection still counts")
	}
}

func TestNothingIsKeptOfWhoLeft(t *testing.T) {
	l := NewListener(make(queue), Limits{Total: 9, PerAddress: 9}, prometheus.NewRegistry()).(*listener)
	for _, ip := range []string{"10.0.0.1", "fd00::1", "fd00:0:0:1::1"} {
		source := sourceOf(caller{from: ip}.RemoteAddr())
		if reason := l.enter(source); reason != "" {
			t.Fatal(reason)
		}
		l.leave(source)
	}
	if len(l.from) != 0 || l.total != 0 {
		t.Errorf("%v, %d", l.from, l.total)
	}
}

func TestWhoCountsAsOne(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1", "10.0.0.2", false},
		{"10.0.0.1", "::ffff:10.0.0.1", true},
		{"fd00::1", "fd00::ffff:2", true},
		{"fd00::1", "fd00:0:0:1::1", false},
	} {
		if same := sourceOf(caller{from: c.a}.RemoteAddr()) == sourceOf(caller{from: c.b}.RemoteAddr()); same != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, same)
		}
	}
	if got := sourceOf(&net.UnixAddr{}); got.IsValid() {
		t.Errorf("%v", got)
	}
}

func TestLimitsLeaveFilesForTheRest(t *testing.T) {
	for files, want := range map[uint64]Limits{
		1:         {1, 1},
		256:       {128, 64},
		1024:      {768, 384},
		4096:      {3840, 1024},
		1 << 20:   {mostConnections, mostPerAddress},
		1<<64 - 1: {mostConnections, mostPerAddress},
	} {
		if got := limitsFor(files); got != want {
			t.Errorf("%d files: %+v, want %+v", files, got, want)
		}
	}
	if got, err := ProcessLimits(); err != nil || got.Total < 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
