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

// Run replaces the issuer in time, and within a minute after the clock was set back
// to before its start, until the context ends; it returns nil then.
// While the upstream is away the old issuer goes on to its end.
func (s *Service) Run(ctx context.Context) error {
	backoff := firstBackoff
	for {
		now, iss := time.Now(), s.issuer.Load()
		wait := min(iss.replaceAt.Sub(now), tick)
		if iss.due(now) {
			if err := s.rotate(ctx); err == nil {
				backoff = firstBackoff
				continue
			} else if ctx.Err() == nil {
				s.cfg.Logger.ErrorContext(ctx, "issuer not replaced", slog.Any("error", err), slog.Duration("retry_in", backoff),
					slog.Time("issuer_not_after", s.issuer.Load().cert.NotAfter))
			}
			wait = time.Duration(float64(backoff) * (1 - jitter()))
			backoff = min(2*backoff, lastBackoff)
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

// rotate makes an issuer, records it, and only then lets it sign.
func (s *Service) rotate(ctx context.Context) error {
	next, err := newIssuer(ctx, s.cfg.Upstream, s.cfg.TrustDomain, s.cfg.Profile.issuer)
	if err != nil {
		return err
	}
	index, err := s.append(ctx, CertificateEntry(KindIssuer, next.cert, next.parent(), time.Now()))
	if err != nil {
		return err
	}
	s.issuer.Store(next)
	s.cfg.Logger.InfoContext(ctx, "issuer in force", slog.String("subject", next.cert.Subject.String()),
		slog.String("serial", next.cert.SerialNumber.Text(16)), slog.Time("not_after", next.cert.NotAfter),
		slog.Time("replace_at", next.replaceAt), slog.Uint64("ledger_index", index))
	return nil
}

// replaceAt is a third into an issuer's life, less up to a tenth of that so
// that replicas do not ask their upstream at one moment.
func replaceAt(now, notAfter time.Time, jitter float64) time.Time {
	third := notAfter.Sub(now) / 3
	return now.Add(third - time.Duration(jitter*float64(third)))
}

// jitter is 0 to 0.1.
func jitter() float64 { return rand.Float64() / 10 }
