package connections

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// kernel is a stand-in that ends what it is told to, unless it is stubborn.
type kernel struct {
	mu       sync.Mutex
	open     map[pair]uint64 // cookies
	next     uint64
	stubborn bool
	any      bool // every pair is a connection
	// forgetful: its list skips connections, as the kernel's may while others end.
	forgetful bool
	broken    error
	method    Method
}

func newKernel() *kernel { return &kernel{open: map[pair]uint64{}, method: MethodPIDFD} }

func (k *kernel) connect(p pair) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next++
	k.open[p] = k.next
}

func (k *kernel) close(p pair) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.open, p)
}

func (k *kernel) obey() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stubborn = false
}

func (k *kernel) breakDown() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.broken = errors.New("no list")
}

func (k *kernel) closeAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.open)
}

func (k *kernel) has(p pair) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.open[p] != 0
}

func (k *kernel) find(p pair) (socket, bool, error) {
	if k.any && !k.has(p) {
		k.connect(p)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	cookie, ok := k.open[p]
	return socket{pair: p, cookie: cookie, open: ok}, ok, k.broken
}

func (k *kernel) live() (map[uint64]struct{}, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	cookies := map[uint64]struct{}{}
	if k.forgetful {
		return cookies, nil
	}
	for _, cookie := range k.open {
		cookies[cookie] = struct{}{}
	}
	return cookies, k.broken
}

func (k *kernel) end(victims []socket) []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	errs := make([]error, len(victims))
	for i, s := range victims {
		if k.stubborn {
			errs[i] = errors.New("not allowed")
		} else {
			delete(k.open, s.pair)
		}
	}
	return errs
}

func (k *kernel) choose(int) (choice, error) {
	if k.method == MethodDrain {
		return choice{method: MethodDrain}, errors.New("may not")
	}
	return choice{method: k.method, ender: k}, nil
}

// met is a record of a connection of an identity that begins now, numbered by
// its port.
func met(k *kernel, id string, port int) record {
	p := pair{netip.MustParseAddrPort("10.0.0.1:15006"), netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), uint16(port))}
	k.connect(p)
	return record{pair: p, number: uint64(port), name: name{
		inbound: true, uri: id, fingerprint: id, start: "2026-11-21T14:04:38Z", until: "2026-11-21T15:04:38Z",
	}}
}

// virtual runs a table beside a kernel in virtual time.
func virtual(t *testing.T, k *kernel, adopted bool, test func(*Table)) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(testConfig(t), k, k.choose)
		go table.Run(t.Context())
		table.SetEnvoy(1, adopted)
		test(table)
	})
}

// after lets virtual time pass and tells the state then.
func after(table *Table, d time.Duration) State {
	time.Sleep(d)
	synctest.Wait()
	state, _ := table.State()
	return state
}

func connectionsIn(table *Table) int {
	table.mu.Lock()
	defer table.mu.Unlock()
	return len(table.connections)
}

func peersIn(table *Table) int {
	table.mu.Lock()
	defer table.mu.Unlock()
	return len(table.peers)
}

func TestOrderBeforeAndAfterTheRecord(t *testing.T) {
	k := newKernel()
	virtual(t, k, false, func(table *Table) {
		early, late, bob := met(k, aliceID, 1), met(k, aliceID, 2), met(k, bobID, 3)
		table.observe([]record{early, bob})
		after(table, settle)
		table.Apply(Orders{Revision: 3, Identities: []string{aliceID}})
		if state := after(table, 0); k.has(early.pair) || state.Cut != 1 || state.Revision != 0 {
			t.Errorf("right after the order: %+v", state)
		}
		table.observe([]record{late})
		if state := after(table, settle-1); !k.has(late.pair) || state.Open != 1 {
			t.Errorf("while a newer connection may claim the addresses: %+v", state)
		}
		if state := after(table, settle+1); k.has(late.pair) || state != (State{Revision: 3, Method: MethodPIDFD, Cut: 2}) {
			t.Errorf("in the end: %+v", state)
		}
		if !k.has(bob.pair) {
			t.Error("a neighbour was cut")
		}
	})
}

// A record whose addresses are a newer connection's by now does not end that.
func TestNewerConnectionKeepsItsAddresses(t *testing.T) {
	k := newKernel()
	virtual(t, k, false, func(table *Table) {
		table.Apply(Orders{Revision: 1, Identities: []string{aliceID}})
		old := met(k, aliceID, 7)
		k.close(old.pair)
		renewed := met(k, bobID, 7) // the kernel gives its socket for the old record
		renewed.number++
		table.observe([]record{old})
		after(table, settle/2)
		table.observe([]record{renewed})
		table.observe([]record{old}) // out of order
		if state := after(table, time.Second); !k.has(renewed.pair) || state.Cut != 0 || state.Open != 0 {
			t.Errorf("the newer connection was cut: %+v", state)
		}
		// Known and silent: its socket is not the old one's.
		k.close(renewed.pair)
		k.connect(renewed.pair)
		table.Apply(Orders{Revision: 2, Identities: []string{bobID}})
		if state := after(table, time.Second); !k.has(renewed.pair) || state.Open != 0 || state.Revision != 2 {
			t.Errorf("a connection that nobody told of was cut: %+v", state)
		}
	})
}

func TestWhatResistsIsTriedAgainAndSaid(t *testing.T) {
	k := newKernel()
	k.stubborn = true
	virtual(t, k, false, func(table *Table) {
		alice := met(k, aliceID, 1)
		table.observe([]record{alice})
		table.Apply(Orders{Revision: 1, Identities: []string{aliceID}})
		if state := after(table, time.Second); state.Open != 1 || state.Revision != 1 || !strings.Contains(state.Error, "not allowed") {
			t.Errorf("%+v", state)
		}
		k.obey()
		if state := after(table, recheck); state != (State{Revision: 1, Method: MethodPIDFD, Cut: 1}) {
			t.Errorf("%+v", state)
		}
	})
}

// Where connections can only be drained, the table counts those that are still there.
func TestDrainIsCounted(t *testing.T) {
	k := newKernel()
	k.method = MethodDrain
	virtual(t, k, false, func(table *Table) {
		one, two := met(k, aliceID, 1), met(k, aliceID, 2)
		table.observe([]record{one, two})
		table.Apply(Orders{Revision: 1, Identities: []string{aliceID}})
		k.close(one.pair)
		if state := after(table, time.Second); state.Open != 1 || state.Method != MethodDrain || state.Revision != 1 {
			t.Errorf("half drained: %+v", state)
		}
		k.close(two.pair)
		if state := after(table, recheck); state.Open != 0 {
			t.Errorf("drained: %+v", state)
		}
	})
}

// No order counts as carried out while the table may lack connections: after the
// agent's restart, after records were lost, or above the limit.
func TestNothingIsClaimedOverAGap(t *testing.T) {
	k := newKernel()
	virtual(t, k, true, func(table *Table) {
		table.Apply(Orders{Revision: 1})
		if state := after(table, Period); state.Revision != 0 || !strings.Contains(state.Error, "before this agent") {
			t.Errorf("before all were told of: %+v", state)
		}
		if state := after(table, slack); state != (State{Revision: 1, Method: MethodPIDFD}) {
			t.Errorf("after: %+v", state)
		}
		ordered := uint64(1)
		for _, lose := range []func(){table.interrupted, func() { table.misread(errRecord) }} {
			lose()
			ordered++
			table.Apply(Orders{Revision: ordered})
			if state := after(table, Period); state.Revision == ordered || state.Error == "" {
				t.Errorf("after a loss: %+v", state)
			}
			if state := after(table, 2*slack); state.Revision != ordered || state.Error != "" {
				t.Errorf("after the loss was made good: %+v", state)
			}
		}
		k.breakDown()
		table.observe([]record{met(k, bobID, 1)})
		ordered++
		table.Apply(Orders{Revision: ordered})
		if state := after(table, Period); state.Revision == ordered || !strings.Contains(state.Error, "kernel") {
			t.Errorf("without the kernel's list: %+v", state)
		}
	})
}

func TestSilentPortsTakeLonger(t *testing.T) {
	k := newKernel()
	virtual(t, k, false, func(table *Table) {
		table.Apply(Orders{Revision: 1, SilentPorts: []uint16{3306}})
		if state := after(table, SilentPeriod); state.Revision != 0 {
			t.Errorf("too early: %+v", state)
		}
		if state := after(table, 2*settle); state.Revision != 1 {
			t.Errorf("too late: %+v", state)
		}
	})
}

// However many connections there are, the table holds so many at most, and still
// ends those of a cut-off peer that come above.
func TestTheTableIsBounded(t *testing.T) {
	k := newKernel()
	virtual(t, k, false, func(table *Table) {
		var records []record
		for i := range maxConnections + 100 {
			r := met(k, bobID, 1+i)
			records = append(records, r)
		}
		table.observe(records)
		alice := met(k, aliceID, 1+len(records))
		table.Apply(Orders{Revision: 1, Identities: []string{aliceID}})
		table.observe([]record{alice})
		if state := after(table, 2*settle); connectionsIn(table) > maxConnections || k.has(alice.pair) || state.Revision != 0 || !strings.Contains(state.Error, "above the number") {
			t.Errorf("%d connections, %+v", connectionsIn(table), state)
		}
		for _, r := range records {
			k.close(r.pair)
		}
		if state := after(table, 2*Period); connectionsIn(table) != 0 || state.Revision != 1 {
			t.Errorf("%d connections, %+v", connectionsIn(table), state)
		}
		// As many certificates, and sightings of them.
		for i := range maxPeers + 100 {
			r := met(k, fmt.Sprint("spiffe://td/", i), i%60000+1)
			r.number += uint64(i + maxConnections)
			table.observe([]record{r})
		}
		after(table, 0)
		if sightings, _ := table.Sightings(); peersIn(table) > maxPeers || len(sightings) != maxSightings {
			t.Errorf("%d peers, %d sightings", peersIn(table), len(sightings))
		}
		carol := met(k, "spiffe://td/carol", 60001)
		carol.number = 1 << 40
		table.Apply(Orders{Revision: 2, Identities: []string{"spiffe://td/carol"}})
		table.observe([]record{carol})
		if after(table, 2*settle); k.has(carol.pair) {
			t.Error("a cut-off certificate above the number of those that are known goes on")
		}
		after(table, sightAgain+Period)
		k.closeAll()
		if after(table, sightAgain+2*Period); peersIn(table) > 0 {
			t.Errorf("%d peers are left", peersIn(table))
		}
	})
}

// A certificate is told of when it is new and once in ten minutes, however often it is met.
func TestSightings(t *testing.T) {
	k := newKernel()
	virtual(t, k, false, func(table *Table) {
		_, more := table.Sightings()
		meet := func() { table.observe([]record{met(k, aliceID, 1), met(k, bobID, 2)}) }
		meet()
		<-more
		got, more := table.Sightings()
		if len(got) != 2 || got[0].SPIFFEID != aliceID || !got[0].Inbound || got[0].NotAfter.Sub(got[0].NotBefore) != time.Hour {
			t.Errorf("%+v", got)
		}
		after(table, sightAgain-time.Second)
		meet()
		if got, _ := table.Sightings(); len(got) != 0 {
			t.Errorf("again after less than %s: %+v", sightAgain, got)
		}
		after(table, time.Second)
		meet()
		<-more
		if got, _ := table.Sightings(); len(got) != 2 {
			t.Errorf("not again: %+v", got)
		}
	})
}

// A connection that says nothing for long is not forgotten, and nor is its peer,
// whatever the kernel's list skips.
func TestIdleConnectionIsRemembered(t *testing.T) {
	k := newKernel()
	k.forgetful = true
	virtual(t, k, false, func(table *Table) {
		alice := met(k, aliceID, 1)
		table.observe([]record{alice})
		after(table, 3*sightAgain)
		table.Apply(Orders{Revision: 1, Identities: []string{aliceID}})
		if state := after(table, time.Second); k.has(alice.pair) || state.Cut != 1 {
			t.Errorf("%+v", state)
		}
	})
}

// Another Envoy begins with an empty table.
func TestAnotherEnvoy(t *testing.T) {
	k := newKernel()
	virtual(t, k, false, func(table *Table) {
		table.observe([]record{met(k, aliceID, 1)})
		table.Apply(Orders{Revision: 1, Identities: []string{bobID}})
		table.SetEnvoy(2, false)
		if state := after(table, time.Second); connectionsIn(table) != 0 || state.Revision != 1 {
			t.Errorf("%d connections, %+v", connectionsIn(table), state)
		}
		// Nobody's process is known, and nobody tells of connections: there is no Envoy.
		table.SetEnvoy(0, false)
		if state := after(table, time.Second); state.Method != MethodNone || state.Revision != 1 {
			t.Errorf("without Envoy: %+v", state)
		}
		table.observe([]record{met(k, bobID, 1)})
		if state := after(table, settle); state.Method != MethodPIDFD || state.Cut != 1 {
			t.Errorf("with somebody else's Envoy: %+v", state)
		}
	})
}
