package ca_test

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/clientcert"
)

// everybody says that each account and pod exists.
type everybody struct{}

func (everybody) Account(string, string) (string, bool)   { return "uid", true }
func (everybody) Pod(string, string) (identity.Pod, bool) { return identity.Pod{}, true }

// TestBundleEndpointSVID: go-spiffe takes it for an SVID, 15012 for no proof, and the
// ledger has it, among no workload's.
func TestBundleEndpointSVID(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	issued, err := mesh.Service.IssueBundleEndpoint(t.Context(), must(ca.NewCSR(catest.NewKey(t))), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := must(ca.BundleEndpointID(catest.TrustDomain))
	bundle := x509bundle.FromX509Authorities(catest.TrustDomain, issued.Bundle.Roots())
	id, _, err := x509svid.Verify(append([]*x509.Certificate{issued.Leaf}, issued.Issuers...), bundle)
	if err != nil || id != want || id.String() != "spiffe://cluster.local/ensign/bundle-endpoint" {
		t.Errorf("go-spiffe sees %s, %v", id, err)
	}
	if entries := mesh.Ledger.Entries(ca.KindServer); len(entries) != 1 || entries[0].SPIFFEID != want.String() ||
		entries[0].Certificate != ca.Fingerprint(issued.Leaf) || len(mesh.Ledger.Entries(ca.KindSVID)) != 0 {
		t.Errorf("ledger holds %+v", entries)
	}
	proofs, err := clientcert.NewAuthenticator(clientcert.Config{TrustDomain: catest.TrustDomain, Directory: everybody{},
		Binding: func(context.Context, string) (clientcert.Bound, error) {
			return clientcert.Bound{Certificate: ca.Fingerprint(issued.Leaf), AccountUID: "uid", TokenAt: time.Now()}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := proofs.Authenticate(t.Context(), identity.Credentials{Chain: []*x509.Certificate{issued.Leaf}}); !errors.Is(err, identity.ErrMalformed) {
		t.Errorf("15012 takes it for %v, %v", who, err)
	}
}

// TestNoCallerIsGivenTheBundleEndpointsID: also of an account that names itself so.
func TestNoCallerIsGivenTheBundleEndpointsID(t *testing.T) {
	id := must(ca.BundleEndpointID(catest.TrustDomain))
	if account, err := identity.AccountFromID(id); err == nil {
		t.Errorf("it is the account %v", account)
	}
	mesh := catest.NewMesh(t, nil)
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t), id.String()))
	if issued, err := mesh.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr}); err == nil {
		t.Errorf("issued %v", issued.Leaf.URIs)
	}
}

func TestBundleEndpointSVIDRefuses(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	issue := mesh.Service.IssueBundleEndpoint
	good := must(ca.NewCSR(catest.NewKey(t)))
	if _, err := issue(t.Context(), good, -1); !errors.Is(err, ca.ErrLifetime) {
		t.Errorf("a negative life: %v", err)
	}
	if _, err := issue(t.Context(), ca.CSR{}, 0); err == nil {
		t.Error("took no key")
	}
	mesh.Ledger.Fail(errors.New("disk full"))
	if _, err := issue(t.Context(), good, 0); !errors.Is(err, ca.ErrLedger) {
		t.Errorf("without the ledger: %v", err)
	}
}
