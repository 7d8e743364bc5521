package revocation

import (
	"context"
	"fmt"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// Ledger is what the register asks of the log of everything that was issued.
type Ledger interface {
	Acts
	Certificates
}

// Acts are the entries of kind revocation.
type Acts interface {
	// Append is [ca.Ledger].Append.
	Append(ctx context.Context, e ca.Entry) (index uint64, err error)
	// Revocations are all acts there ever were, oldest first.
	Revocations(ctx context.Context) ([]ca.Recorded, error)
}

// Certificates are the entries of certificates.
type Certificates interface {
	// LiveSVIDs are the SVIDs that are not expired at now.
	LiveSVIDs(ctx context.Context, now time.Time) ([]ca.Recorded, error)
	// LiveIssuers are the issuers that are not expired at now.
	LiveIssuers(ctx context.Context, now time.Time) ([]ca.Recorded, error)
	// Renewals are the SVIDs, of any age, that were renewed from the one with this
	// serial (lower-case hex), or from one of these, and so on; without itself.
	Renewals(ctx context.Context, serial string) ([]ca.Recorded, error)
}

// read gets the facts from the ledger. With a further act, which the ledger does not
// have, they are what they would be with it.
func (r *Register) read(ctx context.Context, now time.Time, further ...Act) (*facts, error) {
	f := &facts{td: r.cfg.TrustDomain, tokenLife: r.cfg.TokenLife, renewed: map[string][]string{}}
	recorded, err := r.cfg.Ledger.Revocations(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading acts: %w", err)
	}
	for _, e := range recorded {
		a, err := actOf(f.td, e)
		if err != nil {
			return nil, err
		}
		f.acts = append(f.acts, a)
	}
	f.acts = append(f.acts, further...)
	for _, a := range f.acts {
		if a.Target.Kind != Serial {
			continue
		}
		if f.renewed[a.Target.Value], err = r.renewals(ctx, a); err != nil {
			return nil, err
		}
	}
	svids, err := r.cfg.Ledger.LiveSVIDs(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("reading live SVIDs: %w", err)
	}
	issuers, err := r.cfg.Ledger.LiveIssuers(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("reading live issuers: %w", err)
	}
	f.hold(live(svids, now), live(issuers, now))
	return f, nil
}

// renewals are the serials renewed from one. Once the ledger has an act on it they
// are all there ever will be, and are not asked for again. The caller has the turn.
func (r *Register) renewals(ctx context.Context, a Act) ([]string, error) {
	if serials, ok := r.known[a.Target.Value]; ok {
		return serials, nil
	}
	recorded, err := r.cfg.Ledger.Renewals(ctx, a.Target.Value)
	if err != nil {
		return nil, fmt.Errorf("reading what was renewed from %s: %w", a.Target.Value, err)
	}
	serials := []string{}
	for _, e := range recorded {
		serials = append(serials, e.Entry.Serial)
	}
	if a.Index != planned {
		r.known[a.Target.Value] = serials
	}
	return serials, nil
}
