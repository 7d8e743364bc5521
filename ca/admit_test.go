package ca_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/identity"
)

// TestAdmissionIsHeldUntilTheLedgerHasTheSVID: no act can come between a caller's
// admission and the entry of what it got.
func TestAdmissionIsHeldUntilTheLedgerHasTheSVID(t *testing.T) {
	held, entries := 0, func() int { return 0 }
	mesh := catest.NewMesh(t, func(c *ca.Config) {
		c.Admit = func(_ context.Context, caller identity.Caller) (func(), error) {
			if caller.Account.Name == "ratings" {
				return nil, identity.ErrQuarantined
			}
			held++
			before := entries()
			return func() {
				held--
				if caller.Account.Name == "reviews" && entries() != before+1 {
					t.Error("let go before the ledger had the SVID")
				}
			}, nil
		}
	})
	entries = func() int { return len(mesh.Ledger.Entries(ca.KindSVID)) }
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	must(issue(t, mesh.Service, csr))
	if _, err := mesh.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("ratings"), CSR: csr}); !errors.Is(err, identity.ErrQuarantined) {
		t.Errorf("a caller that is not admitted: %v", err)
	}
	mesh.Ledger.Fail(errors.New("disk full"))
	if _, err := mesh.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("details"), CSR: csr}); !errors.Is(err, ca.ErrLedger) {
		t.Error(err)
	}
	if mesh.Ledger.Fail(nil); held != 0 || entries() != 1 {
		t.Errorf("%d admissions are held, the ledger has %d SVIDs", held, entries())
	}
}
