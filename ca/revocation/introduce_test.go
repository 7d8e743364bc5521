package revocation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

func (a *authority) lag(names ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.late = names
}

// TestAnIssuerWaitsForTheMesh while a CRL is in force, and not for ever.
func TestAnIssuerWaitsForTheMesh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, "a")
		introduced := func(serial string) <-chan error {
			cert, done := a.begin(serial, 30*day), make(chan error, 1)
			go func() { done <- a.crls.Introduce(t.Context(), cert) }()
			synctest.Wait()
			return done
		}
		a.lag("shop/reviews-1")
		select {
		case err := <-introduced("b"):
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("waits though no CRL is in force")
		}
		cert, _ := a.leaf("reviews", "a", true)
		a.act(Revoke, Serial, serialOf(cert))
		a.refreshed()
		waits := introduced("c")
		select {
		case err := <-waits:
			t.Fatalf("does not wait: %v", err)
		default:
		}
		if i := a.crls.Introducing(); i == nil || i.Issuer != "c" || len(i.Waiting) != 1 || i.Waiting[0] != "shop/reviews-1" || time.Until(i.Until) != 2*time.Second {
			t.Errorf("nobody hears whom it waits for: %+v", i)
		}
		if set, _ := a.crls.Current(); len(set.CRLs) != 3 {
			t.Errorf("the mesh cannot have the CRL: %+v", set)
		}
		a.lag()
		time.Sleep(pollEverybody)
		synctest.Wait()
		if err := <-waits; err != nil || a.crls.Introducing() != nil {
			t.Errorf("%v, %+v", err, a.crls.Introducing())
		}
		a.lag("shop/reviews-1")
		start, waits := time.Now(), introduced("d")
		if err := <-waits; err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("waited %s for a laggard: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.crls.Introduce(ctx, a.certs["d"]); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	})
}

func TestAnIssuerWithoutACRLIsNotIntroduced(t *testing.T) {
	a := newAuthority(t)
	cert := a.begin("a", day)
	a.fail = errors.New("not now")
	if err := a.crls.Introduce(t.Context(), cert); !errors.Is(err, a.fail) {
		t.Errorf("without a signer: %v", err)
	}
	a.fail = nil
	if err := os.Mkdir(filepath.Join(a.dir, "a.crl"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := a.crls.Introduce(t.Context(), cert); err == nil {
		t.Error("its CRL is not on disk")
	}
	os.Remove(filepath.Join(a.dir, "a.crl"))
	if err := a.crls.Introduce(t.Context(), cert); err != nil {
		t.Error(err)
	}
}

// TestAnIssuerWhoseKeyIsElsewhere may sign CRLs by its certificate, and nobody here can:
// it signs SVIDs, and while it lives no CRL is in force.
func TestAnIssuerWhoseKeyIsElsewhere(t *testing.T) {
	a := newAuthority(t, "a")
	cert, _ := a.leaf("reviews", "a", true)
	a.act(Revoke, Serial, serialOf(cert))
	if set := a.refreshed(); len(set.CRLs) != 1 {
		t.Fatalf("%+v", set)
	}
	a.lag("shop/reviews-1")
	issuer := a.begin("b", day)
	a.fail = fmt.Errorf("%w: it is elsewhere", ca.ErrNoCRL)
	if err := a.crls.Introduce(t.Context(), issuer); err != nil {
		t.Fatal(err)
	}
	if set := a.refreshed(); len(set.CRLs) != 0 || !strings.Contains(set.Problem, "it is elsewhere") {
		t.Errorf("%+v", set)
	}
	a.act(Revoke, IssuerSerial, "b")
	a.fail = nil
	if set := a.refreshed(); len(set.CRLs) != 1 || set.Problem != "" {
		t.Errorf("after it was revoked: %+v", set)
	}
}

// TestAnIssuerThatMayNotSignCRLs is an imported CA. It signs SVIDs, and while it lives
// no CRL is in force: one of it would be refused, and its SVIDs for want of one.
func TestAnIssuerThatMayNotSignCRLs(t *testing.T) {
	a := newAuthority(t, "a")
	cert, _ := a.leaf("reviews", "a", true)
	a.act(Revoke, Serial, serialOf(cert))
	if set := a.refreshed(); len(set.CRLs) != 1 {
		t.Fatalf("%+v", set)
	}
	a.lag("shop/reviews-1")
	if err := a.crls.Introduce(t.Context(), a.beginFor("b", day, x509.KeyUsageCertSign)); err != nil {
		t.Fatal(err)
	}
	a.leaf("reviews", "b", true)
	if set := a.refreshed(); len(set.CRLs) != 0 || !strings.Contains(set.Problem, "issuer b") {
		t.Errorf("%+v", set)
	}
	a.reopen()
	if set, _ := a.crls.Current(); len(set.CRLs) != 0 || set.Problem == "" {
		t.Errorf("after a restart: %+v", set)
	}
	a.act(Revoke, IssuerSerial, "b")
	if set := a.refreshed(); len(set.CRLs) != 1 || set.Problem != "" {
		t.Errorf("after it was revoked: %+v", set)
	}
}
