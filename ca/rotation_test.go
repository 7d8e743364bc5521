package ca_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

func issue(t *testing.T, s *ca.Service, csr ca.CSR) (ca.Issued, error) {
	t.Helper()
	return s.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: csr})
}

func TestIssuerIsReplacedBeforeHalfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := catest.NewMesh(t, nil)
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- mesh.Service.Run(ctx) }()

		first := must(issue(t, mesh.Service, csr))
		time.Sleep(ca.DefaultIssuerLifetime / 2)
		second := must(issue(t, mesh.Service, csr))
		if first.Issuers[0].Equal(second.Issuers[0]) {
			t.Error("issuer was not replaced")
		}
		if first.Issuers[0].Subject.String() == second.Issuers[0].Subject.String() {
			t.Error("two issuers share one name")
		}
		if first.Bundle.Hash() != second.Bundle.Hash() {
			t.Error("a new issuer changed the roots")
		}
		verify(t, second)

		// Half a year later: nobody ever saw a leaf that was cut short.
		for range 180 {
			time.Sleep(24 * time.Hour)
			if life := time.Until(must(issue(t, mesh.Service, csr)).Leaf.NotAfter); life < ca.DefaultLifetime-2*time.Second {
				t.Fatalf("leaf was cut to %s", life)
			}
		}
		if got, want := len(mesh.Ledger.Entries(ca.KindIssuer)), mesh.Upstream.Count(); got != want {
			t.Errorf("ledger holds %d issuers of %d", got, want)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestIssuingEndsWithTheIssuerAndResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := catest.NewMesh(t, nil)
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		end := must(issue(t, mesh.Service, csr)).Issuers[0].NotAfter
		mesh.Upstream.Fail(errors.New("sealed"))
		ctx, cancel := context.WithCancel(t.Context())
		go mesh.Service.Run(ctx)

		time.Sleep(time.Until(end) - time.Second)
		if _, err := issue(t, mesh.Service, csr); err != nil {
			t.Fatalf("old issuer gave up before its end: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := issue(t, mesh.Service, csr); !errors.Is(err, ca.ErrIssuerExpired) {
			t.Fatalf("issuing with an expired issuer: %v", err)
		}
		// From a third of the life on, at most one try in 4.5 minutes once backed off.
		if tries := mesh.Upstream.Count(); tries < 100 || tries > 1600 {
			t.Errorf("upstream was asked %d times", tries)
		}
		mesh.Upstream.Fail(nil)
		time.Sleep(5 * time.Minute)
		if _, err := issue(t, mesh.Service, csr); err != nil {
			t.Errorf("issuing did not resume: %v", err)
		}
		cancel()
	})
}

// TestIssuingSurvivesAClockThatIsSetBack: an issuer that starts in the future is
// no issuer, until Run has seen it and made another.
func TestIssuingSurvivesAClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := catest.NewMesh(t, nil)
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		ctx, cancel := context.WithCancel(t.Context())
		go mesh.Service.Run(ctx)
		synctest.Wait()
		if err := mesh.Service.Healthy(time.Now()); err != nil {
			t.Errorf("before: %v", err)
		}
		mesh.Service.SetBack(time.Hour)
		if _, err := issue(t, mesh.Service, csr); !errors.Is(err, ca.ErrIssuerExpired) || errors.Is(err, ca.ErrMisissuance) {
			t.Errorf("issuing with an issuer of the future: %v", err)
		}
		if err := mesh.Service.Healthy(time.Now()); !errors.Is(err, ca.ErrIssuerExpired) {
			t.Errorf("healthy with an issuer of the future: %v", err)
		}
		time.Sleep(time.Minute + time.Second)
		verify(t, must(issue(t, mesh.Service, csr)))
		if err := mesh.Service.Healthy(time.Now()); err != nil {
			t.Errorf("after: %v", err)
		}
		if n := len(mesh.Ledger.Entries(ca.KindIssuer)); n != 2 {
			t.Errorf("%d issuers were made, one more was needed", n)
		}
		cancel()
	})
}

func TestUnrecordedIssuerNeverSigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mesh := catest.NewMesh(t, nil)
		csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
		before := must(issue(t, mesh.Service, csr))
		ctx, cancel := context.WithCancel(t.Context())
		go mesh.Service.Run(ctx)
		mesh.Ledger.Fail(errors.New("disk full"))
		time.Sleep(ca.DefaultIssuerLifetime / 2)
		mesh.Ledger.Fail(nil)
		after := must(issue(t, mesh.Service, csr))
		if !before.Issuers[0].Equal(after.Issuers[0]) {
			t.Error("an issuer that the ledger lacks signed")
		}
		cancel()
	})
}

func TestIssuerEndsWithItsRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := catest.NewUpstream(t, 2*time.Hour)
		mesh := catest.NewMesh(t, func(c *ca.Config) { c.Upstream = up })
		issued := must(issue(t, mesh.Service, catest.Parse(t, catest.CSR(t, catest.NewKey(t)))))
		root := issued.Bundle.Roots()[0]
		if issued.Issuers[0].NotAfter.After(root.NotAfter) || issued.Leaf.NotAfter.After(root.NotAfter) {
			t.Errorf("leaf ends %s, issuer %s, root %s", issued.Leaf.NotAfter, issued.Issuers[0].NotAfter, root.NotAfter)
		}
	})
}
