package server

import (
	"context"
	"sync"

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
	// taken are the SVIDs that had theirs, of one root: when another is asked for, all
	// may come again.
	root  string
	taken map[string]bool
}

func newRenewals(awaited Awaited) *renewals {
	if awaited == nil {
		awaited = func(context.Context, string) string { return "" }
	}
	return &renewals{awaited: awaited}
}

// take says whether this call is the renewal that a rotation asked for. One that comes
// to nothing is given back.
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
		r.root, r.taken = root, map[string]bool{}
	}
	if r.taken[caller.Serial] {
		return nil, false
	}
	r.taken[caller.Serial] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.root == root {
			delete(r.taken, caller.Serial)
		}
	}, true
}
