package server

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/ensign-mesh/ensign/identity"
)

// One account's share of the signing. A node that restarts with 50 pods of one
// account is served at once; so is a deployment of any size whose accounts differ.
const (
	accountBurst = 50
	// accountRate is in calls a second.
	accountRate = 5
	// accountSlots is how many of its calls may be at work at once, so that no
	// account holds more than a sixteenth of DefaultLimit while the ledger is slow.
	accountSlots = 16
	// accountCalls is how many may be at work or wait for a slot.
	accountCalls = 64
	// sweepEvery is how long a bucket takes to fill: what stands idle for that
	// long is as good as new, and forgotten.
	sweepEvery = accountBurst / accountRate * time.Second
)

// shares gives each account its share. Only proven callers are counted, so there
// are never more than the mesh has accounts.
type shares struct {
	mu    sync.Mutex
	of    map[identity.ServiceAccount]*share
	swept time.Time
}

type share struct {
	bucket *rate.Limiter
	slots  chan struct{}
	calls  int // guarded by shares.mu
}

func newShares() *shares { return &shares{of: map[identity.ServiceAccount]*share{}} }

// enter waits for one of the account's slots; leave gives it back. It answers
// errGreedy at once if the account has asked for too much, and the context's
// error if that ends first.
func (s *shares) enter(ctx context.Context, account identity.ServiceAccount) (leave func(), err error) {
	own := s.admit(account)
	if own == nil {
		return nil, errGreedy
	}
	select {
	case own.slots <- struct{}{}:
		return func() { <-own.slots; s.done(own) }, nil
	case <-ctx.Done():
		s.done(own)
		return nil, ctx.Err()
	}
}

// admit counts one call, or answers nil if it is one too many.
func (s *shares) admit(account identity.ServiceAccount) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	own := s.of[account]
	if own == nil {
		own = &share{bucket: rate.NewLimiter(accountRate, accountBurst), slots: make(chan struct{}, accountSlots)}
		s.of[account] = own
	}
	if own.calls >= accountCalls || !own.bucket.Allow() {
		return nil
	}
	own.calls++
	return own
}

func (s *shares) done(own *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own.calls--
}

// sweep forgets who has been idle until the bucket was full.
func (s *shares) sweep() {
	now := time.Now()
	if now.Sub(s.swept) < sweepEvery {
		return
	}
	s.swept = now
	for account, own := range s.of {
		if own.calls == 0 && own.bucket.TokensAt(now) >= accountBurst {
			delete(s.of, account)
		}
	}
}
