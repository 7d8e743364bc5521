//go:build cgo

package kms_test

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore/kms"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/ca/upstream"
	"github.com/ensign-mesh/ensign/test/lab/softhsm"
)

// alone is an upstream of one root.
type alone struct{ rotation.Root }

func (a alone) Bundle(context.Context) (ca.Bundle, error) { return ca.NewBundle(a.Signing()) }
func (a alone) Signing() *x509.Certificate                { return a.Chain()[0] }

// issues makes a CA under a root and has it issue one SVID.
func issues(t *testing.T, r rotation.Root) error {
	t.Helper()
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	service, err := ca.New(t.Context(), ca.Config{TrustDomain: catest.TrustDomain, Profile: profile, Upstream: alone{r}, Ledger: &catest.Ledger{}})
	if err != nil {
		return err
	}
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	issued, err := service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr, Lifetime: time.Hour})
	if err != nil {
		return err
	}
	return issued.Issuers[0].CheckSignatureFrom(r.Chain()[0])
}

// TestBuiltInRootsInAModule: the first root, the next one that a rotation makes, and
// both opened again by the next process.
func TestBuiltInRootsInAModule(t *testing.T) {
	hsm, files, dir, ledger := softhsm.New(t), sealed(t), t.TempDir(), &catest.Ledger{}
	place := func() (*upstream.Builtin, *kms.Store) {
		keys := open(t, hsm.URI(hsm.PINFile), files, files)
		b, err := upstream.NewBuiltin(upstream.Config{Dir: dir, TrustDomain: catest.TrustDomain, Keys: keys, Ledger: ledger})
		if err != nil {
			t.Fatal(err)
		}
		return b, keys
	}
	before, keys := place()
	name, first, err := before.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next, err := before.Make(t.Context(), "ensign-ab12")
	if err != nil {
		t.Fatal(err)
	}
	if n := hsm.Keys(t); n != 2 {
		t.Errorf("%d keys are in the module", n)
	}
	if text, err := next.Request(t.Context()); err != nil {
		t.Error(err)
	} else if request, err := x509.ParseCertificateRequest(text); err != nil || request.CheckSignature() != nil {
		t.Errorf("the next root's request: %v", err)
	}
	if err := errors.Join(issues(t, first), issues(t, next), keys.Close()); err != nil {
		t.Fatal(err)
	}
	after, _ := place()
	for name, root := range map[string]rotation.Root{name: first, "ensign-ab12": next} {
		again, err := after.Open(t.Context(), name, root.Chain())
		if err != nil {
			t.Fatal(err)
		}
		if err := issues(t, again); err != nil {
			t.Errorf("%s after a restart: %v", name, err)
		}
	}
}
