package ca_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// TestBadIssuersAreRefused: an upstream that signs something else than asked.
func TestBadIssuersAreRefused(t *testing.T) {
	for check, alter := range map[string]func(*x509.Certificate){
		"subject":           func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "somebody"} },
		"basic_constraints": func(c *x509.Certificate) { c.MaxPathLenZero, c.MaxPathLen = false, 1 },
		"key_usage":         func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign },
		"name_constraints":  func(c *x509.Certificate) { c.PermittedURIDomains = nil },
		"validity":          func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) },
	} {
		t.Run(check, func(t *testing.T) { refusesIssuer(t, check, alter) })
	}
	t.Run("other trust domain", func(t *testing.T) {
		refusesIssuer(t, "name_constraints", func(c *x509.Certificate) { c.PermittedURIDomains = []string{"evil.example"} })
	})
	t.Run("not critical", func(t *testing.T) {
		refusesIssuer(t, "name_constraints", func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false })
	})
	_, everywhere, _ := net.ParseCIDR("0.0.0.0/0")
	for name, alter := range map[string]func(*x509.Certificate){
		"our own domain excluded": func(c *x509.Certificate) { c.ExcludedURIDomains = []string{catest.TrustDomain.Name()} },
		"some DNS names only":     func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"link.invalid"} },
		"DNS names excluded":      func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{"localhost"} },
		"some addresses only":     func(c *x509.Certificate) { c.PermittedIPRanges = []*net.IPNet{everywhere} },
		"addresses excluded":      func(c *x509.Certificate) { c.ExcludedIPRanges = []*net.IPNet{everywhere} },
	} {
		t.Run(name, func(t *testing.T) { refusesIssuer(t, "name_constraints", alter) })
	}
	t.Run("for servers only", func(t *testing.T) {
		refusesIssuer(t, "key_usage", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	})
	t.Run("not yet valid", func(t *testing.T) {
		refusesIssuer(t, "validity", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	})
	t.Run("outlives its root", func(t *testing.T) {
		up := catest.NewUpstream(t, time.Hour)
		up.Alter = func(c *x509.Certificate) { c.NotAfter = time.Now().Add(24 * time.Hour) }
		refuses(t, "chain", up)
	})
	t.Run("serial of its own is fine", func(t *testing.T) {
		up := catest.NewUpstream(t, 365*24*time.Hour)
		up.Alter = func(c *x509.Certificate) { c.SerialNumber = big.NewInt(77) }
		if err := newWith(t, up); err != nil {
			t.Error(err)
		}
	})
}

func refusesIssuer(t *testing.T, check string, alter func(*x509.Certificate)) {
	t.Helper()
	up := catest.NewUpstream(t, 365*24*time.Hour)
	up.Alter = alter
	refuses(t, check, up)
}

func refuses(t *testing.T, check string, up ca.Upstream) {
	t.Helper()
	var lint *ca.LintError
	if err := newWith(t, up); !errors.As(err, &lint) || lint.Check != check || !errors.Is(err, ca.ErrMisissuance) {
		t.Errorf("got %v, want a failed check %q", err, check)
	}
}

func newWith(t *testing.T, up ca.Upstream) error {
	t.Helper()
	_, err := ca.New(t.Context(), ca.Config{
		TrustDomain: catest.TrustDomain, Profile: must(ca.NewProfile(ca.ProfileConfig{})), Upstream: up, Ledger: &catest.Ledger{},
	})
	return err
}

func TestTrustDomainsThatCannotBeConstrained(t *testing.T) {
	for name, want := range map[string]bool{
		"cluster.local": true, "one-label": true, "under_score.example": true,
		"10.0.0.1": false, "a..b": false, ".local": false, "local.": false,
	} {
		cfg := ca.Config{
			TrustDomain: spiffeid.RequireTrustDomainFromString(name), Profile: must(ca.NewProfile(ca.ProfileConfig{})),
			Upstream: catest.NewUpstream(t, 365*24*time.Hour), Ledger: &catest.Ledger{},
		}
		service, err := ca.New(t.Context(), cfg)
		if (err == nil) != want {
			t.Errorf("trust domain %q: %v", name, err)
			continue
		}
		if !want {
			continue
		}
		caller := catest.Caller("reviews")
		caller.Account.TrustDomain = cfg.TrustDomain
		if _, err := service.Issue(t.Context(), ca.Request{Caller: caller, CSR: catest.Parse(t, catest.CSR(t, catest.NewKey(t)))}); err != nil {
			t.Errorf("issuing in trust domain %q: %v", name, err)
		}
	}
}
