package ca_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// lateLedger does something just before an SVID is in it.
type lateLedger struct {
	ca.Ledger
	before func()
}

func (l *lateLedger) Append(ctx context.Context, e ca.Entry) (uint64, error) {
	if e.Kind == ca.KindSVID {
		l.before()
	}
	return l.Ledger.Append(ctx, e)
}

// TestRootsThatMoveWhileTheLedgerIsSlow: who looked at the ledger just before, to see
// who needs the new roots, did not see this SVID. So it comes with them, or not at all.
func TestRootsThatMoveWhileTheLedgerIsSlow(t *testing.T) {
	r := newRemains(t)
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	late := &lateLedger{Ledger: r.ledger}
	service, err := ca.New(t.Context(), ca.Config{
		TrustDomain: catest.TrustDomain, Profile: profile, Upstream: r.upstream, Ledger: late, LiveIssuers: r.ledger.LiveIssuers,
	})
	if err != nil {
		t.Fatal(err)
	}
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	late.before = func() { r.upstream.Add(t, year) }
	if issued, err := issue(t, service, csr); err != nil || len(issued.Bundle.Roots()) != 2 {
		t.Errorf("it came with %d roots, %v", len(issued.Bundle.Roots()), err)
	}
	late.before = func() {
		to := r.upstream.Add(t, year)
		r.upstream.Sign(to, to)
	}
	if _, err := issue(t, service, csr); !errors.Is(err, ca.ErrIssuerExpired) {
		t.Errorf("under a root that is not trusted any more: %v", err)
	}
}
