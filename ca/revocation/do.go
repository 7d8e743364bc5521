package revocation

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Do cuts somebody off, or lets them back in. When it returns nil the act is in the
// ledger, nobody whom it covers gets an SVID any more, and [Register.Current] has it.
// Errors wrap [ErrInvalid], or [ErrNobody] when there is nobody to hit. After an
// error that wraps [ErrLists] the act is in the ledger and takes effect as soon as
// that can be read; after any other it may be, and does too if it is.
func (r *Register) Do(ctx context.Context, actor string, v Verb, t Target, reason string) (Act, *List, error) {
	a := Act{Index: planned, Actor: actor, Verb: v, Target: t, Reason: reason}
	if err := a.check(r.cfg.TrustDomain); err != nil {
		return Act{}, nil, err
	}
	r.turn.Lock()
	defer r.turn.Unlock()
	if err := r.possible(ctx, a); err != nil {
		return Act{}, nil, err
	}
	// From here on it is done to the end, whoever has gone away meanwhile.
	ctx = context.WithoutCancel(ctx)
	a, l, err := r.do(ctx, a)
	if err != nil {
		r.cfg.Logger.ErrorContext(ctx, "act not done to its end", slog.String("verb", string(v)), slog.String("target", t.String()), slog.Any("error", err))
		return Act{}, nil, err
	}
	r.cfg.Logger.InfoContext(ctx, "cut off or let back in", slog.String("verb", string(v)), slog.String("target", t.String()),
		slog.String("actor", actor), slog.Uint64("revision", l.Revision), slog.Int("certificates", len(l.Certificates)))
	return a, l, nil
}

// possible is nil if there is somebody to hit. The caller has the turn.
func (r *Register) possible(ctx context.Context, a Act) error {
	if a.Verb == Quarantine || a.Verb == Revoke && a.Target.Kind != Serial && a.Target.Kind != IssuerSerial {
		return nil // tokens, if nothing else: the ledger, which may be large, is not read for that
	}
	f, err := r.read(ctx, time.Now(), a)
	if err != nil {
		return err
	}
	return f.somebody(a)
}

// somebody is nil if an act among the facts has anybody to hit.
func (f *facts) somebody(a Act) error {
	switch {
	case a.Verb == Release:
		id := a.Target.account(f.td)
		for _, last := range slices.Backward(f.acts) {
			if last.Index == planned || last.Verb == Revoke || last.Target.account(f.td) != id {
				continue
			}
			if last.Verb == Quarantine {
				return nil
			}
			break
		}
		return fmt.Errorf("%w: %s is not in quarantine", ErrNobody, id)
	case a.Target.Kind == IssuerSerial:
		if _, lives := f.issuers[a.Target.Value]; !lives {
			return fmt.Errorf("%w: the ledger has no issuer with serial %s that has not expired", ErrNobody, a.Target.Value)
		}
	case a.Target.Kind == Serial && len(f.hits(a)) == 0:
		return fmt.Errorf("%w: the ledger has no SVID with serial %s that has not expired, nor one renewed from it; if a proxy shows that serial, revoke the issuer that signed it",
			ErrNobody, a.Target.Value)
	}
	return nil
}

// do writes the act and reads back what it did, while no SVID is on its way.
func (r *Register) do(ctx context.Context, a Act) (Act, *List, error) {
	r.gate.Lock()
	defer r.gate.Unlock()
	a.Time = time.Now()
	index, failed := r.cfg.Ledger.Append(ctx, a.entry())
	if err := r.remake(ctx); err != nil {
		r.doubt(err)
		if failed == nil {
			return Act{}, nil, fmt.Errorf("%w: the act is entry %d of the ledger: %w", ErrLists, index, err)
		}
	}
	if failed != nil {
		return Act{}, nil, fmt.Errorf("writing the act into the ledger: %w", failed)
	}
	a.Index, a.Time = index, a.Time.UTC().Truncate(time.Second)
	l, _ := r.Current()
	return a, l, nil
}
