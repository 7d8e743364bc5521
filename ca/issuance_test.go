package ca_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/identity"
)

func TestIssue(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	key := catest.NewKey(t)
	csr := catest.Parse(t, catest.CSR(t, key, reviewsID))
	issued, err := mesh.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr, RemoteAddr: "10.1.2.3:4"})
	if err != nil {
		t.Fatal(err)
	}
	leaf := issued.Leaf
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != reviewsID || !key.PublicKey.Equal(leaf.PublicKey) {
		t.Fatalf("leaf is for %v", leaf.URIs)
	}
	if life := time.Until(leaf.NotAfter); life > ca.DefaultLifetime || life < ca.DefaultLifetime-5*time.Second {
		t.Errorf("leaf lives for %s", life)
	}
	if back := time.Since(leaf.NotBefore); back < ca.Backdate || back > ca.Backdate+5*time.Second {
		t.Errorf("leaf starts %s ago", back)
	}
	verify(t, issued)
	checkEntry(t, mesh.Ledger, issued)
}

// TestEveryKindOfKey: what Istio's agents ask with (RSA, an organisation, their
// own URI), and the other kinds that are allowed.
func TestEveryKindOfKey(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	for name, c := range map[string]struct {
		key   crypto.Signer
		usage x509.KeyUsage
	}{
		"RSA 2048":    {rsaKey(t, 2048), x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment},
		"ECDSA P-256": {catest.NewKey(t), x509.KeyUsageDigitalSignature},
		"ECDSA P-384": {must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), x509.KeyUsageDigitalSignature},
		"Ed25519":     {must(newEd25519()), x509.KeyUsageDigitalSignature},
	} {
		t.Run(name, func(t *testing.T) {
			template := &x509.CertificateRequest{
				Subject: pkix.Name{Organization: []string{"cluster.local"}}, URIs: []*url.URL{must(url.Parse(reviewsID))},
			}
			issued := must(issue(t, mesh.Service, catest.Parse(t, catest.CSRFrom(t, c.key, template))))
			verify(t, issued)
			if issued.Leaf.KeyUsage != c.usage || len(issued.Leaf.Subject.Names) != 0 {
				t.Errorf("usage %b, subject %q", issued.Leaf.KeyUsage, issued.Leaf.Subject)
			}
			entries := mesh.Ledger.Entries(ca.KindSVID)
			if got := entries[len(entries)-1].KeyAlgorithm; got != name {
				t.Errorf("the ledger names the key %q", got)
			}
		})
	}
}

// verify does what a peer does with nothing but the roots.
func verify(t *testing.T, issued ca.Issued) {
	t.Helper()
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range issued.Bundle.Roots() {
		roots.AddCert(c)
	}
	for _, c := range issued.Issuers {
		intermediates.AddCert(c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		_, err := issued.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage}})
		if err != nil {
			t.Fatalf("verifying as a peer: %v", err)
		}
	}
}

func checkEntry(t *testing.T, ledger *catest.Ledger, issued ca.Issued) {
	t.Helper()
	entries := ledger.Entries(ca.KindSVID)
	if len(entries) != 1 || len(ledger.Entries(ca.KindIssuer)) != 1 {
		t.Fatalf("ledger holds %d SVIDs and %d issuers", len(entries), len(ledger.Entries(ca.KindIssuer)))
	}
	sum, spki := sha256.Sum256(issued.Leaf.Raw), sha256.Sum256(issued.Leaf.RawSubjectPublicKeyInfo)
	want := ca.Entry{
		Kind: ca.KindSVID, Time: entries[0].Time, SPIFFEID: reviewsID,
		Certificate: hex.EncodeToString(sum[:]), Key: hex.EncodeToString(spki[:]),
		Serial:        issued.Leaf.SerialNumber.Text(16),
		IssuerSubject: issued.Issuers[0].Subject.String(), IssuerSerial: issued.Issuers[0].SerialNumber.Text(16),
		NotBefore: issued.Leaf.NotBefore, NotAfter: issued.Leaf.NotAfter,
		Proof: "token", TokenID: "token-1", Pod: "reviews-1", PodUID: "pod-uid", Node: "node-1", Requester: "10.1.2.3:4",
		AccountUID: "account-uid", TokenAt: entries[0].Time, KeyAlgorithm: "ECDSA P-256",
	}
	if diff := cmp.Diff(want, entries[0]); diff != "" {
		t.Errorf("ledger entry (-want +got):\n%s", diff)
	}
}

// TestTheLedgerKeepsTheLastTokenOfAChain: a renewal by SVID is no token, however
// often it is repeated.
func TestTheLedgerKeepsTheLastTokenOfAChain(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	caller := catest.Caller("reviews")
	caller.Proof, caller.TokenID, caller.Serial, caller.TokenAt = identity.ProofSVID, "", "1f", time.Now().Add(-48*time.Hour)
	if _, err := mesh.Service.Issue(t.Context(), ca.Request{Caller: caller, CSR: csr}); err != nil {
		t.Fatal(err)
	}
	if got := mesh.Ledger.Entries(ca.KindSVID)[0]; !got.TokenAt.Equal(caller.TokenAt) || got.AccountUID != "account-uid" {
		t.Errorf("recorded token of %s, account %q", got.TokenAt, got.AccountUID)
	}
}

func TestIssueRefuses(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	own := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	as := func(edit func(*identity.Caller)) identity.Caller {
		c := catest.Caller("reviews")
		edit(&c)
		return c
	}
	for name, c := range map[string]struct {
		request ca.Request
		want    error
	}{
		"nobody": {ca.Request{CSR: own}, identity.ErrTrustDomain},
		"other trust domain": {ca.Request{CSR: own, Caller: as(func(c *identity.Caller) {
			c.Account.TrustDomain = spiffeid.RequireTrustDomainFromString("evil.example")
		})}, identity.ErrTrustDomain},
		"empty name":        {ca.Request{CSR: own, Caller: as(func(c *identity.Caller) { c.Account.Name = "" })}, identity.ErrMalformed},
		"name with a slash": {ca.Request{CSR: own, Caller: as(func(c *identity.Caller) { c.Account.Name = "a/sa/b" })}, identity.ErrMalformed},
		"name of dots":      {ca.Request{CSR: own, Caller: as(func(c *identity.Caller) { c.Account.Namespace = ".." })}, identity.ErrMalformed},
		"expired proof":     {ca.Request{CSR: own, Caller: as(func(c *identity.Caller) { c.Expires = time.Now().Add(-time.Second) })}, identity.ErrExpired},
		"proof without end": {ca.Request{CSR: own, Caller: as(func(c *identity.Caller) { c.Expires = time.Time{} })}, identity.ErrExpired},
		"negative life":     {ca.Request{CSR: own, Caller: catest.Caller("reviews"), Lifetime: -1}, ca.ErrLifetime},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := mesh.Service.Issue(t.Context(), c.request); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
	for name, csr := range map[string]ca.CSR{
		"another account's ID": catest.Parse(t, catest.CSR(t, catest.NewKey(t), "spiffe://cluster.local/ns/shop/sa/ratings")),
		"another trust domain": catest.Parse(t, catest.CSR(t, catest.NewKey(t), "spiffe://evil.example/ns/shop/sa/reviews")),
		"upper case":           catest.Parse(t, catest.CSR(t, catest.NewKey(t), "spiffe://CLUSTER.local/ns/shop/sa/reviews")),
		"with a query":         catest.Parse(t, catest.CSR(t, catest.NewKey(t), reviewsID+"?x=1")),
		"no key":               {},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mesh.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr})
			var refused *ca.CSRError
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a CSRError", err)
			}
		})
	}
	if n := len(mesh.Ledger.Entries(ca.KindSVID)); n != 0 {
		t.Errorf("ledger holds %d SVIDs of refused requests", n)
	}
}

func TestNothingIsAnsweredThatTheLedgerLacks(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	full := errors.New("disk full")
	mesh.Ledger.Fail(full)
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	issued, err := mesh.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr})
	if !errors.Is(err, ca.ErrLedger) || !errors.Is(err, full) || issued.Leaf != nil {
		t.Fatalf("got %+v, %v", issued, err)
	}
	_, err = ca.New(t.Context(), ca.Config{TrustDomain: catest.TrustDomain, Profile: must(ca.NewProfile(ca.ProfileConfig{})), Upstream: mesh.Upstream, Ledger: mesh.Ledger})
	if !errors.Is(err, ca.ErrLedger) {
		t.Fatalf("an unrecorded issuer came into force: %v", err)
	}
}

func TestStagesAreObservedInOrder(t *testing.T) {
	var seen []ca.Stage
	mesh := catest.NewMesh(t, func(c *ca.Config) {
		c.Observe = func(s ca.Stage, took time.Duration) {
			if took >= 0 {
				seen = append(seen, s)
			}
		}
	})
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	if _, err := mesh.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr}); err != nil {
		t.Fatal(err)
	}
	want := []ca.Stage{ca.StagePrepare, ca.StageLint, ca.StageSign, ca.StageValidate, ca.StageLedger}
	if !slices.Equal(seen, want) {
		t.Errorf("observed %v", seen)
	}
}

func TestSerialsAreUnique(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := mesh.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	serials := map[string]bool{}
	for _, e := range mesh.Ledger.Entries(ca.KindSVID) {
		serials[e.Serial] = true
	}
	if len(serials) != 400 {
		t.Errorf("%d serials of 400 certificates", len(serials))
	}
}

// TestLifeIsClipped: whatever is asked for, at whatever age of the issuer, the
// leaf stays within the profile and within its issuer.
func TestLifeIsClipped(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		asked := time.Duration(rapid.Int64Range(0, int64(400*24*time.Hour)).Draw(r, "asked"))
		age := time.Duration(rapid.Int64Range(0, int64(ca.DefaultIssuerLifetime-time.Second)).Draw(r, "age"))
		synctest.Test(t, func(t *testing.T) {
			mesh := catest.NewMesh(t, nil)
			csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
			time.Sleep(age)
			now := time.Now()
			issued, err := mesh.Service.Issue(context.Background(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr, Lifetime: asked})
			if err != nil {
				t.Fatal(err)
			}
			life := issued.Leaf.NotAfter.Sub(now)
			if issued.Leaf.NotAfter.After(issued.Issuers[0].NotAfter) || issued.Leaf.NotBefore.Before(issued.Issuers[0].NotBefore) {
				t.Fatalf("leaf leaves its issuer's window")
			}
			if life <= 0 || (asked >= time.Minute && life > asked) || life > 7*24*time.Hour {
				t.Fatalf("asked %s at age %s, got %s", asked, age, life)
			}
		})
	})
}
