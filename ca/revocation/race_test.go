package revocation

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/identity"
)

// TestNoSVIDSlipsThrough: many renew as fast as they can while acts come down on them;
// whatever was admitted is covered, and nobody is admitted behind an act.
func TestNoSVIDSlipsThrough(t *testing.T) {
	w := newWorld(t)
	w.issuer("a", day)
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 8 {
		serial := w.append(token("reviews", "r-1"), "a", time.Hour)
		wg.Go(func() {
			for caller := by(token("reviews", "r-1"), serial); !stop.Load(); {
				next, err := w.issue(caller, "a", time.Hour)
				if err != nil {
					return
				}
				caller = by(caller, next)
			}
		})
	}
	wg.Go(func() {
		old := token("reviews", "")
		for !stop.Load() {
			if _, err := w.issue(old, "a", time.Hour); err != nil {
				return
			}
		}
	})
	wg.Go(func() {
		other := token("ratings", "")
		for !stop.Load() {
			if _, err := w.issue(other, "a", time.Hour); err != nil {
				t.Error("a neighbour is refused:", err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	time.Sleep(30 * time.Millisecond)
	a := w.act(Revoke, ServiceAccount, "shop/reviews")
	time.Sleep(10 * time.Millisecond)
	stop.Store(true)
	wg.Wait()
	l, _ := w.Current()
	covered := map[string]bool{}
	for _, c := range l.Certificates {
		covered[c.Serial] = true
	}
	mine := 0
	for i, e := range w.entries {
		switch {
		case e.SPIFFEID != reviews:
		case i > int(a.Index):
			t.Errorf("entry %d was issued behind act %d", i, a.Index)
		case !covered[e.Serial]:
			t.Errorf("entry %d slipped through", i)
		default:
			mine++
		}
	}
	if mine < 20 {
		t.Errorf("only %d SVIDs were on their way: the test tests little", mine)
	}
	if err := w.Proof(identity.Caller{Account: account("reviews"), Proof: identity.ProofToken}); err == nil {
		t.Error("a token without a time proves something")
	}
}
