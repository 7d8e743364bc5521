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
	limits   Limits
	issued   IssuedSince
	renewals *renewals

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

func newShares(limits Limits, issued IssuedSince, awaited Awaited) *shares {
	return &shares{limits: limits, issued: issued, renewals: newRenewals(awaited), of: map[identity.ServiceAccount]*share{}}
}

// enter waits for one of the identity's slots. leave gives it back, and says
// whether a certificate came of it. Errors are a [*limitError] at once if the
// identity has asked for too much, the context's if that ends first, or the ledger's.
func (s *shares) enter(ctx context.Context, caller identity.Caller) (leave func(issued bool), err error) {
	giveBack, awaited := s.renewals.take(ctx, caller)
	own := s.admit(caller.Account, awaited)
	if own == nil {
		return nil, s.limits.tooFast()
	}
	out := func(issued bool) {
		if !issued && giveBack != nil {
			giveBack()
		}
		s.done(own)
	}
	select {
	case own.slots <- struct{}{}:
	case <-ctx.Done():
		out(false)
		return nil, ctx.Err()
	}
	if !awaited {
		day, err := own.quota.take(ctx, caller.Account.String(), s.limits, s.issued)
		if err != nil {
			<-own.slots
			out(false)
			return nil, err
		}
		giveBack = func() { own.quota.giveBack(day) }
	}
	return func(issued bool) {
		<-own.slots
		out(issued)
	}, nil
}

// admit counts one call, or answers nil if it is one too many. Those that are awaited
// are never.
func (s *shares) admit(account identity.ServiceAccount, awaited bool) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep()
	own := s.of[account]
	if own == nil {
		own = &share{bucket: rate.NewLimiter(rate.Limit(s.limits.PerSecond), s.limits.Burst), slots: make(chan struct{}, accountSlots)}
		s.of[account] = own
	}
	if !awaited && (own.calls >= max(accountCalls, s.limits.Burst) || !own.bucket.Allow()) {
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
