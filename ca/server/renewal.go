package server

import (
	"context"
	"sync"
	"time"

	"github.com/ensign-mesh/ensign/identity"
)

// Awaited names the root to which a rotation asks the bearer of an SVID (its serial in
// lower-case hex) to renew; "" if none does.
type Awaited func(ctx context.Context, serial string) (root string)

// renewals are those that a rotation asked for. All pods of an account are asked within
// one window, so the account's limits do not count them: each SVID is one renewal, and
// there are no more than were issued within the limits.
type renewals struct {
	awaited Awaited

	mu sync.Mutex
	// of are the SVIDs that came, by serial, of one root: when another is asked for, all
	// may come again.
	root string
	of   map[string]*renewal
}

// renewal is that of one SVID.
type renewal struct {
	taken  bool // at work, or had
	failed int
	again  time.Time // until then, the account's limits count
}

// The pause after a renewal that came to nothing doubles with each, so that an old SVID
// is no way around the limits for requests that fail. It is never longer than our agents
// wait before they try again (500 ms, doubled up to 30 s, half of it random): one that is
// honest does not meet it. Who comes sooner is served within the account's limits,
// and else hears ResourceExhausted with the time after which to try again.
const (
	firstPause   = 125 * time.Millisecond
	longestPause = 15 * time.Second
)

// fail gives the renewal back.
func (r *renewal) fail(now time.Time) {
	r.taken = false
	r.again = now.Add(min(firstPause<<min(r.failed, 16), longestPause))
	r.failed++
}

func newRenewals(awaited Awaited) *renewals {
	if awaited == nil {
		awaited = func(context.Context, string) string { return "" }
	}
	return &renewals{awaited: awaited}
}

// take says whether this call is the renewal that a rotation asked for. One that comes
// to nothing is given back, later each time.
func (r *renewals) take(ctx context.Context, caller identity.Caller) (giveBack func(), ok bool) {
	if caller.Proof != identity.ProofSVID {
		return nil, false
	}
	root := r.awaited(ctx, caller.Serial)
	if root == "" {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.root != root {
		r.root, r.of = root, map[string]*renewal{}
	}
	own := r.of[caller.Serial]
	if own == nil {
		own = &renewal{}
		r.of[caller.Serial] = own
	}
	if own.taken || time.Now().Before(own.again) {
		return nil, false
	}
	own.taken = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		own.fail(time.Now())
	}, true
}
