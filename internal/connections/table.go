package connections

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// Period is how often Envoy must be set to repeat its word about a live connection.
	Period = 10 * time.Second
	// SilentPeriod is the same for connections to ports in Orders.SilentPorts, of
	// which it says nothing while their client does.
	SilentPeriod = time.Second
	// Flush is how long Envoy may be set to keep a record to itself.
	Flush = 50 * time.Millisecond
	// MaxMessage is the largest message, in bytes, that the server of the log
	// needs to take: Envoy's buffer of 16 KiB, its node, and one record with long headers.
	MaxMessage = 1 << 20

	// maxConnections are those known at a time. What comes above is learnt of when
	// there is room, with a later record, and until then no order counts as carried out.
	maxConnections = 32 << 10
	// settle is by when a record has come for certain, Envoy's flush and the way here.
	settle = Flush + 25*time.Millisecond
	// slack is for the timers of Envoy and its flush, in seconds' terms.
	slack = time.Second
)

// Config of a table.
type Config struct {
	// Logger and Registerer are required.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Table is the live connections of one Envoy. Its methods may be called at any time
// by anyone.
type Table struct {
	logger  *slog.Logger
	metrics *metrics
	sockets sockets
	// choose finds how connections of an Envoy can be ended.
	choose func(pid int) (choice, error)
	wake   chan struct{}

	mu          sync.Mutex
	connections map[pair]*connection
	peers       map[name]*peer
	// cutting are those connections that are to end.
	cutting map[*connection]struct{}

	verdict  verdict
	ordered  uint64 // the newest Orders' revision
	applied  time.Time
	patience time.Duration // after applied, all older connections are told of

	pid    int
	heard  bool // the present Envoy has told of something
	chosen bool // for the present Envoy
	choice choice
	swept  time.Time

	// gap is since when the table may lack connections, lost why; zero: it never did.
	gap  time.Time
	lost string
	// trouble is what went wrong in the last round.
	trouble error
	ended   uint64

	state     State
	changed   chan struct{}
	sightings []Sighting
	sighted   chan struct{}
}

// connection is one that Envoy told of.
type connection struct {
	pair
	number uint64
	// cookie is that of the socket which the pair had at the time since.
	cookie uint64
	since  time.Time
	peer   *peer
	// tried: it was found open after the order.
	tried bool
}

// New makes an empty table. Nothing is ended before Run.
func New(c Config) *Table {
	var list sockets
	diag, err := openSockDiag()
	if list = diag; err != nil {
		list = unreadable{err}
	}
	return newTable(c, list, func(pid int) (choice, error) { return chooseMethod(pid, diag, err) })
}

func newTable(c Config, list sockets, choose func(int) (choice, error)) *Table {
	return &Table{
		logger: c.Logger, metrics: newMetrics(c.Registerer), sockets: list, choose: choose,
		wake: make(chan struct{}, 1), connections: map[pair]*connection{}, peers: map[name]*peer{},
		cutting: map[*connection]struct{}{}, verdict: newVerdict(Orders{}),
		state: State{Method: MethodNone}, changed: make(chan struct{}), sighted: make(chan struct{}),
	}
}

// SetEnvoy says which process is the Envoy, once its log is served; 0 is one whose
// process cannot be seen, or none. adopted: it ran before this agent did, so that it
// may have connections that it is yet to tell of.
func (t *Table) SetEnvoy(pid int, adopted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.connections {
		t.remove(c)
	}
	t.pid, t.heard, t.chosen, t.gap, t.lost = pid, false, false, time.Time{}, ""
	if adopted && pid != 0 {
		t.lack("of connections that began before this agent")
	}
	t.stir()
}

// Apply takes over who is cut off. It returns at once; State tells the rest.
func (t *Table) Apply(o Orders) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.verdict, t.ordered, t.applied, t.patience = newVerdict(o), o.Revision, time.Now(), 2*settle
	if len(o.SilentPorts) > 0 {
		t.patience += SilentPeriod
	}
	for _, p := range t.peers {
		p.cut = t.verdict.cuts(p.name)
	}
	for _, c := range t.connections {
		if c.peer.cut {
			t.cutting[c] = struct{}{}
		} else {
			delete(t.cutting, c)
		}
	}
	t.stir()
}

// State is how far the connections follow the orders; the channel is closed when
// that changes.
func (t *Table) State() (State, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state, t.changed
}

// stir has Run look at once.
func (t *Table) stir() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// lack notes that connections may be missing from now on. Each comes in with its
// next record, within a Period.
func (t *Table) lack(why string) {
	t.gap, t.lost = time.Now(), why
}

// complete says when every connection that there is will have been told of.
func (t *Table) complete() time.Time {
	if t.gap.IsZero() {
		return time.Time{}
	}
	return t.gap.Add(Period + slack)
}

// remove forgets a connection that is over.
func (t *Table) remove(c *connection) {
	if t.connections[c.pair] != c {
		return
	}
	delete(t.connections, c.pair)
	c.peer.connections--
	if has(t.cutting, c) {
		delete(t.cutting, c)
		if c.tried {
			t.ended++
			t.metrics.cut.WithLabelValues(string(t.choice.method)).Inc()
		}
	}
}

// unreadable is the kernel's list where it cannot be read.
type unreadable struct{ err error }

func (u unreadable) find(pair) (socket, bool, error)    { return socket{}, false, u.err }
func (u unreadable) live() (map[uint64]struct{}, error) { return nil, u.err }
