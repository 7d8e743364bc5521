package server

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/ensign-mesh/ensign/identity"
)

const (
	// accountSlots is how many of an identity's calls may be at work at once, so
	// that none holds more than a sixteenth of DefaultLimit while the ledger is slow.
	accountSlots = 16
	// accountCalls is how many may be at work or wait for a slot, if the burst is
	// not larger.
	accountCalls = 64
)

// shares gives each identity its share. Only proven callers are counted, so there
// are never more than the mesh has accounts, and had today.
type shares struct {
	limits Limits
	issued IssuedSince

	mu    sync.Mutex
	of    map[identity.ServiceAccount]*share
	swept time.Time
}

type share struct {
	bucket *rate.Limiter
	slots  chan struct{}
	calls  int // guarded by shares.mu
	quota  quota
}

func newShares(limits Limits, issued IssuedSince) *shares {
	return &shares{limits: limits, issued: issued, of: map[identity.ServiceAccount]*share{}}
}

// enter waits for one of the identity's slots. leave gives it back, and says
// whether a certificate came of it. Errors are a [*limitError] at once if the
// identity has asked for too much, the context's if that ends first, or the ledger's.
func (s *shares) enter(ctx context.Context, account identity.ServiceAccount) (leave func(issued bool), err error) {
	own := s.admit(account)
	if own == nil {
		return nil, s.limits.tooFast()
	}
	select {
	case own.slots <- struct{}{}:
	case <-ctx.Done():
		s.done(own)
		return nil, ctx.Err()
	}
	day, err := own.quota.take(ctx, account.String(), s.limits, s.issued)
	leave = func(issued bool) {
		if !issued {
			own.quota.giveBack(day)
		}
		<-own.slots
		s.done(own)
	}
	if err != nil {
		leave(true) // nothing was taken
		return nil, err
	}
	return leave, nil
}

// admit counts one call, or answers nil if it is one too many.
func (s *shares) admit(account identity.ServiceAccount) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	own := s.of[account]
	if own == nil {
		own = &share{bucket: rate.NewLimiter(rate.Limit(s.limits.PerSecond), s.limits.Burst), slots: make(chan struct{}, accountSlots)}
		s.of[account] = own
	}
	if own.calls >= max(accountCalls, s.limits.Burst) || !own.bucket.Allow() {
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

// sweep forgets who has been idle until the bucket was full and the day was over:
// then nothing is known of it that the ledger does not know as well.
func (s *shares) sweep() {
	now := time.Now()
	if now.Sub(s.swept) < s.limits.refill() {
		return
	}
	s.swept = now
	for account, own := range s.of {
		if own.calls == 0 && own.bucket.TokensAt(now) >= float64(s.limits.Burst) && !own.quota.of(dayOf(now)) {
			delete(s.of, account)
		}
	}
}
