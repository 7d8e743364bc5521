package admin

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/identity"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// drill is a mesh of one list and of proxies that obey when the test says so.
type drill struct {
	Register
	mu      sync.Mutex
	list    revocation.List
	proxies []revocation.Proxy
	changed chan struct{}
	err     error
	looks   int
}

func (d *drill) Current() (*revocation.List, <-chan struct{}) { return &d.list, nil }

func (d *drill) Obeying(context.Context, *revocation.List) ([]revocation.Proxy, <-chan struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.looks++
	return append([]revocation.Proxy{}, d.proxies...), d.changed, d.err
}

func (d *drill) obey(p revocation.Proxy, say bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proxies = []revocation.Proxy{p}
	if say {
		close(d.changed)
		d.changed = make(chan struct{})
	}
}

// without has no CRLs.
type without struct{}

func (without) Introducing() *revocation.Introduction { return nil }
func (without) Current() (*revocation.Set, <-chan struct{}) {
	return &revocation.Set{For: 7}, nil
}

// screen is an admin who watches.
type screen struct {
	ensignv1.AdminService_WatchCutOffServer
	ctx   context.Context
	shown chan *ensignv1.WatchCutOffResponse
}

func (s screen) Context() context.Context { return s.ctx }
func (s screen) Send(r *ensignv1.WatchCutOffResponse) error {
	s.shown <- r
	return nil
}

// watch begins a watch of a drill.
func watch(ctx context.Context, d *drill, revision uint64) (screen, <-chan error) {
	admin := account("admin")
	service := New(Config{Register: d, CRLs: without{}, Population: d, Admins: []spiffeid.ID{admin.ID()}, Logger: slog.New(slog.DiscardHandler)})
	ctx = identity.WithCaller(ctx, identity.Caller{Account: admin, Proof: identity.ProofSVID})
	s, ended := screen{ctx: ctx, shown: make(chan *ensignv1.WatchCutOffResponse, 100)}, make(chan error, 1)
	go func() { ended <- service.WatchCutOff(&ensignv1.WatchCutOffRequest{Revision: revision}, s) }()
	return s, ended
}

func TestAWatchEndsWhenEverybodyObeys(t *testing.T) {
	proxy := revocation.Proxy{Name: "shop/web-1", Connected: true, Agent: true, Method: "pidfd", Revision: 6, Open: 0}
	synctest.Test(t, func(t *testing.T) {
		d := &drill{list: revocation.List{Revision: 7}, proxies: []revocation.Proxy{proxy}, changed: make(chan struct{})}
		s, ended := watch(t.Context(), d, 7)
		if first := <-s.shown; first.Done || first.Proxies != 1 || len(first.Laggards) != 1 || first.Laggards[0].Name != "shop/web-1" || len(first.Laggards[0].Missing) != 2 {
			t.Errorf("%v", first)
		}
		time.Sleep(time.Second)
		if len(s.shown) != 0 {
			t.Errorf("it says again: %v", <-s.shown)
		}
		proxy.DenyAcked = true // which calls nobody
		d.obey(proxy, false)
		begun := time.Now()
		if next := <-s.shown; next.DenyAcked != 1 || next.Done || time.Since(begun) > lookEvery+lookApart {
			t.Errorf("%v after %v", next, time.Since(begun))
		}
		synctest.Wait()
		time.Sleep(lookApart)
		proxy.Revision = 7
		d.obey(proxy, true)
		begun = time.Now()
		if last := <-s.shown; !last.Done || last.CutAcked != 1 || time.Since(begun) > lookApart {
			t.Errorf("%v after %v", last, time.Since(begun))
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestAThousandReportsAreAFewLooks: who waits is not woken for each.
func TestAThousandReportsAreAFewLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		d := &drill{list: revocation.List{Revision: 7}, changed: make(chan struct{}), proxies: []revocation.Proxy{{Name: "shop/web-1"}}}
		_, ended := watch(ctx, d, 7)
		for n := range 1000 {
			d.obey(revocation.Proxy{Name: "shop/web-1", Agent: true, Open: uint32(n + 1)}, true)
			time.Sleep(100 * time.Microsecond)
		}
		stop()
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Error(err)
		}
		if d.looks > 30 {
			t.Errorf("%d looks in 100 ms", d.looks)
		}
	})
}

func TestWhatCanNotBeWatched(t *testing.T) {
	d := &drill{list: revocation.List{Revision: 7}}
	if _, ended := watch(t.Context(), d, 8); status.Code(<-ended) != codes.FailedPrecondition {
		t.Error("a revision that never was is watched")
	}
	d.err = errors.New("the mesh is not loaded yet")
	if _, ended := watch(t.Context(), d, 0); status.Code(<-ended) != codes.Unavailable {
		t.Error("it is not said that nothing is known")
	}
}
