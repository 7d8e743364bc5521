package ca

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	// tick is how often the wall clock is looked at: timers alone stand still
	// while a machine sleeps.
	tick         = time.Minute
	firstBackoff = time.Second
	lastBackoff  = 5 * time.Minute
)

// Run introduces the first issuer and replaces it in time: also within a minute
// after it was revoked, or the clock was set back to before its start. It works
// until the context ends and returns nil then. While the upstream is away the old
// issuer goes on to its end.
func (s *Service) Run(ctx context.Context) error {
	backoff := firstBackoff
	for {
		now := time.Now()
		wait := s.wait(now)
		if wait <= 0 {
			err := s.replaceIfDue(ctx)
			if err == nil {
				backoff = firstBackoff
				continue
			}
			if ctx.Err() == nil {
				s.cfg.Logger.ErrorContext(ctx, "issuer not replaced", slog.Any("error", err), slog.Duration("retry_in", backoff),
					slog.Time("issuer_not_after", s.issuingUntil()))
			}
			wait = time.Duration(float64(backoff) * (1 - jitter()))
			backoff = min(2*backoff, lastBackoff)
		}
		if err := s.keys.prune(now); err != nil {
			s.cfg.Logger.ErrorContext(ctx, "expired issuer keys not deleted", slog.Any("error", err))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

func (s *Service) replaceIfDue(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.wait(time.Now()) > 0 {
		return nil // Settle was faster
	}
	return s.replace(ctx)
}

// take waits for the turn, which release gives back.
func (s *Service) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Service) release() { <-s.turn }

// issuingUntil is when the issuer in force ends; zero if there is none.
func (s *Service) issuingUntil() time.Time {
	if i := s.current.Load(); i != nil {
		return i.cert.NotAfter
	}
	return time.Time{}
}

// wait is how long nothing is to be done, a tick at most.
func (s *Service) wait(now time.Time) time.Duration {
	iss := s.current.Load()
	if iss == nil || iss != s.newest.Load() || !s.fit(iss, now) {
		return 0
	}
	return min(iss.replaceAt.Sub(now), tick)
}

// replaceAt is a third into an issuer's life, less up to a tenth of that so
// that replicas do not ask their upstream at one moment.
func replaceAt(start, notAfter time.Time, jitter float64) time.Time {
	third := notAfter.Sub(start) / 3
	return start.Add(third - time.Duration(jitter*float64(third)))
}

// jitter is 0 to 0.1.
func jitter() float64 { return rand.Float64() / 10 }
