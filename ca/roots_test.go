package ca_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

const year = 365 * 24 * time.Hour

// leadsTo verifies an answer under one root alone.
func leadsTo(t *testing.T, issued ca.Issued, root *x509.Certificate) bool {
	t.Helper()
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	pool.AddCert(root)
	for _, c := range issued.Issuers {
		between.AddCert(c)
	}
	_, err := issued.Leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: time.Now()})
	return err == nil
}

// TestTheRootMoves goes through all steps of a rotation, and back.
func TestTheRootMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemains(t)
		service := r.kept(t, nil)
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		from := r.upstream.Signing()
		first := must(issue(t, service, csr))

		to := r.upstream.Add(t, year)
		both := must(issue(t, service, csr))
		if both.Bundle.Hash() != service.Bundle().Hash() || len(both.Bundle.Roots()) != 2 || !leadsTo(t, both, from) {
			t.Errorf("while both are trusted: %d roots", len(both.Bundle.Roots()))
		}
		r.upstream.Sign(to, from, to)
		if waiting := must(issue(t, service, csr)); !leadsTo(t, waiting, from) {
			t.Error("before an issuer of the new root is there, nobody signs")
		}
		for range 3 {
			if err := service.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		second := must(issue(t, service, csr))
		if s := service.Status(); !leadsTo(t, second, to) || s.Root != ca.Fingerprint(to) || !s.Certificate.Equal(second.Issuers[0]) || !s.ReplaceAt.After(time.Now()) {
			t.Errorf("after Settle: %+v", s)
		}
		if server := must(service.IssueServer(t.Context(), ca.ServerRequest{CSR: csr, Names: []string{"localhost"}})); !leadsTo(t, server, to) {
			t.Error("the server's certificate does not lead to the new root")
		}
		r.upstream.Sign(to, to)
		if after := must(issue(t, service, csr)); len(after.Bundle.Roots()) != 1 || !leadsTo(t, after, to) {
			t.Error("the old root is still handed out")
		}
		old := first.Issuers[0].SerialNumber.Text(16)
		if _, err := service.SignCRL(old, big.NewInt(1), nil); err != nil {
			t.Errorf("CRL of an issuer under a root that is not trusted any more: %v", err)
		}

		r.upstream.Sign(from, from, to)
		if err := service.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if back := must(issue(t, service, csr)); !back.Issuers[0].Equal(first.Issuers[0]) {
			t.Error("the way back made another issuer, though the first is young")
		}
		if n := len(r.ledger.Entries(ca.KindIssuer)); n != 2 {
			t.Errorf("%d issuers were made", n)
		}
	})
}

// TestRunFollowsTheRoot: also when nobody calls Settle.
func TestRunFollowsTheRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemains(t)
		service := r.kept(t, nil)
		go service.Run(t.Context())
		from := r.upstream.Signing()
		to := r.upstream.Add(t, year)
		r.upstream.Sign(to, from, to)
		r.upstream.Fail(errors.New("sealed"))
		time.Sleep(2 * time.Minute)
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		if issued := must(issue(t, service, csr)); !leadsTo(t, issued, from) {
			t.Error("the old issuer gave up before the new one is there")
		}
		if err := service.Settle(t.Context()); err == nil {
			t.Error("settled without an issuer of the new root")
		}
		r.upstream.Fail(nil)
		time.Sleep(5 * time.Minute)
		if issued := must(issue(t, service, csr)); !leadsTo(t, issued, to) {
			t.Error("Run did not follow the root")
		}
	})
}

// TestAnIssuerWithoutATrustedRootSignsNothing: its SVIDs would be refused everywhere.
func TestAnIssuerWithoutATrustedRootSignsNothing(t *testing.T) {
	r := newRemains(t)
	service := r.kept(t, nil)
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	from := r.upstream.Signing()
	to := r.upstream.Add(t, year)
	r.upstream.Sign(to, to)
	for name, err := range map[string]error{
		"svid":    second(issue(t, service, csr)),
		"server":  second(service.IssueServer(t.Context(), ca.ServerRequest{CSR: csr, Names: []string{"localhost"}})),
		"healthy": service.Healthy(time.Now()),
	} {
		if !errors.Is(err, ca.ErrIssuerExpired) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(r.ledger.Entries(ca.KindSVID)) + len(r.ledger.Entries(ca.KindServer)); n != 0 {
		t.Errorf("%d certificates were signed under %s", n, from.Subject)
	}
}

func second[T any](_ T, err error) error { return err }

// TestARestartInTheMiddleOfARotation: whichever roots the kept issuers lead to, the
// one that signs now wins, and an untrusted one never signs.
func TestARestartInTheMiddleOfARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRemains(t)
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		from := r.upstream.Signing()
		to := r.upstream.Add(t, 2*24*time.Hour) // its issuers end before those of the old root
		r.upstream.Sign(to, from, to)
		if err := r.kept(t, nil).Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.upstream.Sign(from, from, to)
		if err := r.kept(t, nil).Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(must(r.keys.LoadIssuers())); n != 2 {
			t.Fatalf("%d issuers are kept, want one of each root", n)
		}
		r.upstream.Fail(errors.New("sealed"))
		for _, c := range []struct{ signs, trusted []*x509.Certificate }{
			{[]*x509.Certificate{from}, []*x509.Certificate{from, to}},
			{[]*x509.Certificate{to}, []*x509.Certificate{from, to}},
			{[]*x509.Certificate{to}, []*x509.Certificate{to}},
			{[]*x509.Certificate{from}, []*x509.Certificate{from}},
		} {
			r.upstream.Sign(c.signs[0], c.trusted...)
			service := r.kept(t, nil)
			if issued := must(issue(t, service, csr)); !leadsTo(t, issued, c.signs[0]) || issued.Issuers[0].NotAfter.After(c.signs[0].NotAfter) {
				t.Errorf("the issuer of another root signs")
			}
			for _, e := range r.ledger.Entries(ca.KindIssuer) {
				if _, err := service.SignCRL(e.Serial, big.NewInt(1), nil); err != nil {
					t.Errorf("CRL of issuer %s: %v", e.Serial, err)
				}
			}
		}
		// The upstream is away and only the other root's issuer is kept: it goes on.
		r.revoked[service(t, r, to).Status().Certificate.SerialNumber.Text(16)] = true
		r.upstream.Sign(to, from, to)
		if issued := must(issue(t, r.kept(t, nil), csr)); !leadsTo(t, issued, from) {
			t.Error("a trusted issuer was not used though there is no other")
		}
	})
}

func service(t *testing.T, r *remains, root *x509.Certificate) *ca.Service {
	t.Helper()
	r.upstream.Sign(root, root)
	return r.kept(t, nil)
}

// TestSettleWaitsForSVIDsInHand: what the issuer before was signing is in the ledger
// when Settle returns, so that a gate which reads it then sees them.
func TestSettleWaitsForSVIDsInHand(t *testing.T) {
	r := newRemains(t)
	slow := &slowLedger{Ledger: r.ledger, asked: make(chan struct{}), svid: make(chan struct{})}
	service := r.kept(t, func(c *ca.Config) { c.Ledger = slow })
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	var wg sync.WaitGroup
	wg.Go(func() { must(issue(t, service, csr)) })
	<-slow.asked
	from, to := r.upstream.Signing(), r.upstream.Add(t, year)
	r.upstream.Sign(to, from, to)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := service.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("settled while an SVID of the old root is on its way to the ledger: %v", err)
	}
	close(slow.svid)
	if err := service.Settle(t.Context()); err != nil || len(r.ledger.Entries(ca.KindSVID)) != 1 {
		t.Errorf("%v; %d SVIDs in the ledger", err, len(r.ledger.Entries(ca.KindSVID)))
	}
	wg.Wait()
}

// slowLedger keeps SVIDs waiting.
type slowLedger struct {
	*catest.Ledger
	asked, svid chan struct{}
}

func (l *slowLedger) Append(ctx context.Context, e ca.Entry) (uint64, error) {
	if e.Kind == ca.KindSVID {
		close(l.asked)
		<-l.svid
	}
	return l.Ledger.Append(ctx, e)
}

// TestAnUpstreamThatSignsWithAnotherRoot: an issuer that is due at once would be made
// again and again.
func TestAnUpstreamThatSignsWithAnotherRoot(t *testing.T) {
	r := newRemains(t)
	other := catest.NewUpstream(t, year)
	var lint *ca.LintError
	_, err := r.start(t.Context(), newDoom(0, false))
	if err != nil {
		t.Fatal(err)
	}
	wrong := &confused{Upstream: r.upstream, signer: other}
	service := r.kept(t, func(c *ca.Config) { c.Upstream, c.Issuers, c.LiveIssuers = wrong, nil, nil; wrong.signer = r.upstream })
	wrong.signer = other
	to := r.upstream.Add(t, year)
	r.upstream.Sign(to, r.upstream.Signing(), to)
	if err := service.Settle(t.Context()); !errors.As(err, &lint) || lint.Check != "chain" {
		t.Errorf("got %v", err)
	}
}

// confused says one root and signs with another.
type confused struct {
	*catest.Upstream
	signer *catest.Upstream
}

func (c *confused) CertifyIssuer(ctx context.Context, r ca.IssuerRequest) ([]*x509.Certificate, error) {
	return c.signer.CertifyIssuer(ctx, r)
}

// TestAKeptIssuerWithoutATrustDomain signs only if it was imported.
func TestAKeptIssuerWithoutATrustDomain(t *testing.T) {
	for _, imported := range []bool{false, true} {
		r := newRemains(t)
		r.upstream.Alter = func(c *x509.Certificate) { c.PermittedURIDomains, c.PermittedDNSDomainsCritical = nil, false }
		key, now := catest.NewKey(t), time.Now()
		chain := must(r.upstream.CertifyIssuer(t.Context(), ca.IssuerRequest{PublicKey: key.Public(), Template: &x509.Certificate{
			SerialNumber: big.NewInt(99), Subject: pkix.Name{CommonName: "CA"}, NotBefore: now.Add(-ca.Backdate), NotAfter: now.Add(24 * time.Hour), BasicConstraintsValid: true, IsCA: true,
			MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1},
		}}))
		if err := r.keys.SaveIssuer(ca.StoredIssuer{Key: key, Chain: chain, Introduced: true, Imported: imported}); err != nil {
			t.Fatal(err)
		}
		r.upstream.Alter = nil
		issued := must(issue(t, r.kept(t, nil), catest.Parse(t, catest.CSR(t, catest.NewKey(t)))))
		if issued.Issuers[0].Equal(chain[0]) != imported {
			t.Errorf("imported: %v; signed by %s", imported, issued.Issuers[0].SerialNumber)
		}
	}
}
