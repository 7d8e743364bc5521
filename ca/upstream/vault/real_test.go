package vault

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/test/lab/vaultd"
)

// set is a real Vault, prepared by setup.sh, and what a client of it needs.
type set struct {
	vault  *vaultd.Server
	cfg    Config
	place  Place
	ledger *catest.Ledger
	daily  string // a token with the daily policy
	tokens string // the file that it is in
}

func newSet(t *testing.T) set {
	t.Helper()
	v := vaultd.Start(t)
	v.Setup(t)
	dir := t.TempDir()
	s := set{vault: v, ledger: &catest.Ledger{}, tokens: filepath.Join(dir, "token")}
	s.daily = v.NewToken(t, "1h", "ensign-daily")
	write(t, s.tokens, s.daily)
	s.cfg = Config{Address: v.Address, CAFile: v.CAFile, Mount: "ensign", Issuer: "ensign-1", Auth: TokenFile(s.tokens)}
	s.place = Place{Dir: dir, TrustDomain: catest.TrustDomain, Ledger: s.ledger}
	return s
}

func (s set) client(t *testing.T) *Client {
	t.Helper()
	c, err := NewClient(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s set) open(t *testing.T) *Upstream {
	t.Helper()
	up, err := Open(t.Context(), s.client(t), s.place)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

func (s set) service(t *testing.T, up ca.Upstream) *ca.Service {
	t.Helper()
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	service, err := ca.New(t.Context(), ca.Config{TrustDomain: catest.TrustDomain, Profile: profile, Upstream: up, Ledger: s.ledger})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// issue makes an SVID and verifies it as a workload does; the leaf comes first.
func issue(t *testing.T, service *ca.Service) []*x509.Certificate {
	t.Helper()
	issued, err := service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reader"), CSR: catest.Parse(t, catest.CSR(t, catest.NewKey(t)))})
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range service.Bundle().Roots() {
		roots.AddCert(r)
	}
	for _, c := range issued.Issuers {
		between.AddCert(c)
	}
	if _, err := issued.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Fatal(err)
	}
	return append([]*x509.Certificate{issued.Leaf}, issued.Issuers...)
}

func TestSVIDsUnderVaultsRoot(t *testing.T) {
	s := newSet(t)
	s.cfg.Metrics = prometheus.NewRegistry()
	client := s.client(t)
	up, err := Open(t.Context(), client, s.place)
	if err != nil {
		t.Fatal(err)
	}
	service := s.service(t, up)
	chain := issue(t, service)
	root := service.Bundle().Roots()[0]
	if len(chain) != 2 || root.Subject.CommonName != "Ensign root ensign-1" {
		t.Errorf("%d certificates under %q", len(chain), root.Subject)
	}
	issuer := chain[1]
	if life := time.Until(issuer.NotAfter); life < 168*time.Hour-6*time.Minute || life > 168*time.Hour-4*time.Minute {
		t.Errorf("issuer lives for %s", life)
	}
	if back := time.Since(issuer.NotBefore); back < ca.Backdate-time.Second || back > ca.Backdate+time.Minute {
		t.Errorf("issuer starts %s ago", back)
	}
	if kept, err := os.ReadFile(s.place.bundleFile()); err != nil || string(kept) != service.Bundle().PEM() {
		t.Errorf("bundle.pem is not the root: %v", err)
	}
	if roots := s.ledger.Entries(ca.KindRoot); len(roots) != 1 || roots[0].Certificate != ca.Fingerprint(root) {
		t.Errorf("ledger holds %d roots", len(roots))
	}
	if err := service.Replace(t.Context()); err != nil {
		t.Fatal(err)
	}
	if next := issue(t, service); next[1].Equal(issuer) {
		t.Error("the issuer was not replaced")
	}
	// Chain, lookup, two issuers.
	if n := testutil.ToFloat64(client.metrics.requests.WithLabelValues("ok")); n != 4 {
		t.Errorf("%v requests went well, want 4", n)
	}
	if left := testutil.ToFloat64(client.metrics.expiry) - float64(time.Now().Unix()); math.Abs(left-3600) > 120 {
		t.Errorf("the token is said to end in %v s", left)
	}
}

// TestARestartNeedsNoVault: roots are kept here, and the ledger vouches for them.
func TestARestartNeedsNoVault(t *testing.T) {
	s := newSet(t)
	first := s.open(t)
	s.vault.Kill(t)
	again := s.open(t)
	if again.bundle.Hash() != first.bundle.Hash() || len(s.ledger.Entries(ca.KindRoot)) != 1 {
		t.Error("a restart changed the root")
	}
	if err := os.Remove(s.place.bundleFile()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s.client(t), s.place); !errors.Is(err, ErrUnreachable) {
		t.Errorf("neither roots nor vault: %v", err)
	}
	s.vault.Run(t)
	if again = s.open(t); again.bundle.Hash() != first.bundle.Hash() || len(s.ledger.Entries(ca.KindRoot)) != 1 {
		t.Error("a crash before bundle.pem changed the root")
	}
	s.ledger.Wipe()
	if _, err := Open(t.Context(), s.client(t), s.place); !errors.Is(err, ErrUnrecorded) {
		t.Errorf("a root that no ledger holds: %v", err)
	}
}

// TestAnUnrecordedRootIsNotTrusted: the ledger comes first.
func TestAnUnrecordedRootIsNotTrusted(t *testing.T) {
	s := newSet(t)
	s.ledger.Fail(errors.New("disk full"))
	if _, err := Open(t.Context(), s.client(t), s.place); !errors.Is(err, ca.ErrLedger) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(s.place.bundleFile()); err == nil {
		t.Error("the root is trusted")
	}
}

// TestAnotherRootOfVaultIsRefused: a second root in Vault, even under the same
// reference, changes nothing here.
func TestAnotherRootOfVaultIsRefused(t *testing.T) {
	s := newSet(t)
	up := s.open(t)
	service := s.service(t, up)
	s.vault.Write(t, "ensign/root/rotate/internal", map[string]any{
		"common_name": "Ensign root 2", "issuer_name": "ensign-2", "key_type": "ec", "max_path_length": 1, "ttl": "80000h",
		"not_before_duration": "900s"})
	s.vault.Write(t, "ensign/issuer/ensign-1", map[string]any{"issuer_name": "was-1"})
	s.vault.Write(t, "ensign/issuer/ensign-2", map[string]any{"issuer_name": "ensign-1"})
	if err := service.Replace(t.Context()); !errors.Is(err, ErrOtherRoot) {
		t.Fatalf("got %v", err)
	}
	issue(t, service)
	if err := os.Remove(s.place.bundleFile()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), s.client(t), s.place); !errors.Is(err, ErrOtherRoot) {
		t.Errorf("another root was adopted: %v", err)
	}
}

// TestAnOutsideRootAboveVault: the bundle is the outside root, the chain goes up to it.
func TestAnOutsideRootAboveVault(t *testing.T) {
	s := newSet(t)
	v := s.vault
	made := v.Write(t, "ensign/intermediate/generate/internal", map[string]any{"common_name": "Ensign intermediate", "key_type": "ec"})
	v.Write(t, "sys/mounts/outside", map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "87600h"}})
	v.Write(t, "outside/root/generate/internal", map[string]any{"common_name": "Outside root", "key_type": "ec", "ttl": "80000h",
		"not_before_duration": "1200s"})
	signed := v.Write(t, "outside/root/sign-intermediate", map[string]any{"csr": made.Data["csr"], "common_name": "Ensign intermediate", "ttl": "40000h",
		"not_before_duration": "900s"})
	chain := fmt.Sprint(signed.Data["certificate"])
	imported := v.Write(t, "ensign/intermediate/set-signed", map[string]any{"certificate": chain})
	id := fmt.Sprint(imported.Data["imported_issuers"].([]any)[0])
	v.Write(t, "ensign/issuer/"+id, map[string]any{"issuer_name": "under-outside"})
	s.cfg.Issuer = "under-outside"
	if _, err := Open(t.Context(), s.client(t), s.place); !errors.Is(err, ErrAnswer) {
		t.Fatalf("a chain that does not reach the root: %v", err)
	}
	v.Write(t, "ensign/issuers/import/cert", map[string]any{"pem_bundle": signed.Data["issuing_ca"]})
	service := s.service(t, s.open(t))
	if got := issue(t, service); len(got) != 3 || got[2].Subject.CommonName != "Ensign intermediate" {
		t.Errorf("%d certificates", len(got))
	}
	if roots := service.Bundle().Roots(); len(roots) != 1 || roots[0].Subject.CommonName != "Outside root" {
		t.Errorf("roots %v", subjects(roots))
	}
}
