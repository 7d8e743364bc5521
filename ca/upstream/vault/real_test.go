package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/test/lab/vaultd"
)

// set is a real Vault, prepared by setup.sh, and what a place in it needs.
type set struct {
	vault  *vaultd.Server
	cfg    Config
	ledger *catest.Ledger
	daily  string // a token with the daily policy
	tokens string // the file that it is in
}

// newSet has variables (NAME=VALUE) for setup.sh.
func newSet(t testing.TB, variables ...string) *set {
	t.Helper()
	v := vaultd.Start(t)
	v.Setup(t, variables...)
	dir := t.TempDir()
	s := &set{vault: v, ledger: &catest.Ledger{}, tokens: filepath.Join(dir, "token")}
	s.daily = v.NewToken(t, "1h", "ensign-daily")
	write(t, s.tokens, s.daily)
	rotating := filepath.Join(dir, "rotation-token")
	write(t, rotating, v.NewToken(t, "1h", "ensign-rotation"))
	s.cfg = Config{Address: v.Address, CAFile: v.CAFile, Mount: "ensign", Issuer: "ensign-1",
		Auth: TokenFile(s.tokens), RotationAuth: TokenFile(rotating), TrustDomain: catest.TrustDomain, Ledger: s.ledger}
	return s
}

func (s *set) place(t testing.TB) *Place {
	t.Helper()
	p, err := New(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// first is the mesh's first root, in a place of its own.
func (s *set) first(t *testing.T) *root {
	t.Helper()
	_, first, err := s.place(t).First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return first.(*root)
}

// upstream is a mesh that has one root for ever.
type upstream struct{ rotation.Root }

func (u upstream) Bundle(context.Context) (ca.Bundle, error) { return ca.NewBundle(u.Signing()) }
func (u upstream) Signing() *x509.Certificate                { return u.Chain()[len(u.Chain())-1] }

// remoteOf is the root, where it signs leaves itself.
func remoteOf(r rotation.Root) func() ca.Remote {
	return func() ca.Remote {
		remote, _ := r.(ca.Remote)
		return remote
	}
}

func (s *set) service(t testing.TB, r rotation.Root) *ca.Service {
	t.Helper()
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	service, err := ca.New(t.Context(), ca.Config{TrustDomain: catest.TrustDomain, Profile: profile, Upstream: upstream{r}, Ledger: s.cfg.Ledger, Remote: remoteOf(r)})
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
	t.Parallel()
	s := newSet(t)
	s.cfg.Metrics = prometheus.NewRegistry()
	first := s.first(t)
	service := s.service(t, first)
	chain := issue(t, service)
	top := service.Bundle().Roots()[0]
	if len(chain) != 2 || top.Subject.CommonName != "Ensign root ensign-1" {
		t.Errorf("%d certificates under %q", len(chain), top.Subject)
	}
	issuer := chain[1]
	if life := time.Until(issuer.NotAfter); life < 168*time.Hour-6*time.Minute || life > 168*time.Hour-4*time.Minute {
		t.Errorf("issuer lives for %s", life)
	}
	if back := time.Since(issuer.NotBefore); back < ca.Backdate-time.Second || back > ca.Backdate+time.Minute {
		t.Errorf("issuer starts %s ago", back)
	}
	if roots := s.ledger.Entries(ca.KindRoot); len(roots) != 1 || roots[0].Certificate != ca.Fingerprint(top) {
		t.Errorf("ledger holds %d roots", len(roots))
	}
	if next := issue(t, s.service(t, first)); next[1].Equal(issuer) {
		t.Error("two services have one issuer")
	}
	metrics := first.place.daily.metrics
	// Chain, lookup, two issuers.
	if n := testutil.ToFloat64(metrics.requests.WithLabelValues("ok")); n != 4 {
		t.Errorf("%v requests went well, want 4", n)
	}
	if left := testutil.ToFloat64(metrics.expiry) - float64(time.Now().Unix()); math.Abs(left-3600) > 120 {
		t.Errorf("the token is said to end in %v s", left)
	}
	if left := time.Until(first.place.CredentialExpires()); math.Abs(left.Minutes()-60) > 2 {
		t.Errorf("the token is said to end in %s", left)
	}
	made(t, first.place, "ensign-2")
	if n, err := testutil.GatherAndCount(s.cfg.Metrics.(*prometheus.Registry), "ensign_upstream_token_expiry_timestamp_seconds"); n != 1 || err != nil {
		t.Errorf("%d tokens are shown, want the daily one alone: %v", n, err)
	}
}

// TestTheFirstRootIsRecordedOnce, whenever the process died, and no other instead.
func TestTheFirstRootIsRecordedOnce(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	s.ledger.Fail(errors.New("disk full"))
	if _, _, err := s.place(t).First(t.Context()); !errors.Is(err, ca.ErrLedger) {
		t.Errorf("a root that no ledger holds: %v", err)
	}
	s.ledger.Fail(nil)
	for range 2 {
		s.first(t)
	}
	if n := len(s.ledger.Entries(ca.KindRoot)); n != 1 {
		t.Errorf("the ledger holds %d roots", n)
	}
	s.generate(t, "ensign-2")
	s.cfg.Issuer = "ensign-2"
	if _, _, err := s.place(t).First(t.Context()); !errors.Is(err, ErrOtherRoot) {
		t.Errorf("a second first root: %v", err)
	}
	s.cfg.Issuer = "ensign-3"
	if _, _, err := s.place(t).First(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("a root that is not there: %v", err)
	}
	s.cfg.Issuer = ""
	if _, _, err := s.place(t).First(t.Context()); err == nil {
		t.Error("a root that is not named")
	}
}

// generate makes a root as an administrator does.
func (s *set) generate(t *testing.T, name string) {
	t.Helper()
	s.vault.Write(t, "ensign/root/rotate/internal", rootRequest(name, catest.TrustDomain.Name()))
}

// TestARestartNeedsNoVault: what was recorded of a root opens it.
func TestARestartNeedsNoVault(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	chain := s.first(t).Chain()
	s.vault.Kill(t)
	place := s.place(t)
	opened, err := place.Open(t.Context(), "ensign-1", chain)
	if err != nil || !opened.Chain()[0].Equal(chain[0]) {
		t.Fatal(err)
	}
	if err := place.Healthy("ensign-1"); err != nil {
		t.Errorf("nobody has asked yet: %v", err)
	}
	if _, err := opened.CertifyIssuer(t.Context(), newRequest(t)); !errors.Is(err, ErrUnreachable) || !errors.Is(place.Healthy("ensign-1"), ErrUnreachable) {
		t.Errorf("got %v, and healthy is %v", err, place.Healthy("ensign-1"))
	}
	s.vault.Run(t)
	if _, err := opened.CertifyIssuer(t.Context(), newRequest(t)); err != nil || place.Healthy("ensign-1") != nil {
		t.Errorf("got %v, and healthy is %v", err, place.Healthy("ensign-1"))
	}
}

// TestAnotherRootUnderTheNameIsRefused: what Vault has by that name later changes
// nothing here.
func TestAnotherRootUnderTheNameIsRefused(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	first := s.first(t)
	service := s.service(t, first)
	s.generate(t, "ensign-2")
	s.vault.Write(t, "ensign/issuer/ensign-1", map[string]any{"issuer_name": "was-1"})
	s.vault.Write(t, "ensign/issuer/ensign-2", map[string]any{"issuer_name": "ensign-1"})
	if _, err := first.CertifyIssuer(t.Context(), newRequest(t)); !errors.Is(err, ErrOtherRoot) {
		t.Errorf("got %v", err)
	}
	if _, err := first.Request(t.Context()); !errors.Is(err, ErrOtherRoot) {
		t.Errorf("got %v", err)
	}
	issue(t, service)
}

// TestOtherNames: setup.sh and the policies hold for any mount and trust domain, also
// when they are run again; and no policy reaches into another mesh's mount.
func TestOtherNames(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	variables := []string{"MOUNT=teams/books", "TRUST_DOMAIN=books.example", "ISSUER=ensign-b"}
	s.vault.Setup(t, variables...)
	s.vault.Setup(t, variables...)
	theirs := s.cfg
	theirs.Ledger = &catest.Ledger{}
	s.cfg.Mount, s.cfg.Issuer, s.cfg.TrustDomain = "teams/books", "ensign-b", spiffeid.RequireTrustDomainFromString("books.example")
	request := newRequest(t)
	request.Template.Subject.Organization = []string{"books.example"}
	request.Template.PermittedURIDomains = []string{"books.example"}
	if _, err := s.first(t).CertifyIssuer(t.Context(), request); !errors.Is(err, ErrDenied) {
		t.Errorf("with the login of another mesh: %v", err)
	}
	if _, err := s.place(t).Make(t.Context(), "ensign-2"); !errors.Is(err, ErrDenied) {
		t.Errorf("with the login of another mesh: %v", err)
	}
	write(t, s.tokens, s.vault.NewToken(t, "1h", "teams/books-daily"))
	if _, err := s.first(t).CertifyIssuer(t.Context(), request); err != nil {
		t.Error(err)
	}
	s.cfg = theirs
	if _, err := s.first(t).CertifyIssuer(t.Context(), newRequest(t)); !errors.Is(err, ErrDenied) {
		t.Errorf("with the login of another mesh: %v", err)
	}
}
