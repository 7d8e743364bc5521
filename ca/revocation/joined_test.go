package revocation_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/identity"
)

var (
	_ revocation.Ledger = (*ledger.Ledger)(nil)
	_ revocation.Signer = (*ca.Service)(nil)
)

// logKey is a key store of one key.
type logKey struct{}

func (logKey) EnsureKey(string, func() (crypto.Signer, error)) (crypto.Signer, error) {
	return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), nil
}

// joined is what the daemon puts together, in its order.
type joined struct {
	*revocation.Register
	crls    *revocation.CRLs
	service *ca.Service
	ledger  *ledger.Ledger
	metrics *prometheus.Registry
}

func join(t testing.TB) *joined {
	t.Helper()
	dir, ctx := t.TempDir(), t.Context()
	j := &joined{metrics: prometheus.NewRegistry()}
	var err error
	if j.ledger, err = ledger.Open(ctx, ledger.Config{Path: filepath.Join(dir, "ledger.db"), Origin: "test", Keys: logKey{}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.ledger.Close() })
	if j.Register, err = revocation.Open(ctx, revocation.Config{TrustDomain: catest.TrustDomain, Ledger: j.ledger, TokenLife: 24 * time.Hour, Registerer: j.metrics}); err != nil {
		t.Fatal(err)
	}
	j.service = catest.NewMesh(t, func(c *ca.Config) {
		c.Ledger, c.Admit, c.Revoked, c.RevokedKey = j.ledger, j.Admit, j.RevokedIssuer, j.RevokedKey
		c.Introduce = func(ctx context.Context, cert *x509.Certificate) error { return j.crls.Introduce(ctx, cert) }
	}).Service
	if j.crls, err = revocation.OpenCRLs(ctx, revocation.CRLConfig{Dir: filepath.Join(dir, "crls"), Register: j.Register, Ledger: j.ledger, Signer: j.service, Registerer: j.metrics}); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{}, 3)
	for _, run := range []func(context.Context) error{j.Run, j.crls.Run, j.service.Run} {
		go func() { run(running); ended <- struct{}{} }()
	}
	t.Cleanup(func() {
		stop()
		for range 3 {
			<-ended
		}
	})
	wait(t, func() bool { return j.service.Healthy(time.Now()) == nil })
	return j
}

func wait(t testing.TB, until func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !until(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

func (j *joined) issue(t testing.TB, c identity.Caller) (ca.Issued, error) {
	return j.service.Issue(t.Context(), ca.Request{Caller: c, CSR: catest.Parse(t, catest.CSR(t, catest.NewKey(t)))})
}

func (j *joined) do(t testing.TB, v revocation.Verb, kind revocation.Kind, value string) {
	t.Helper()
	target, err := revocation.ParseTarget(catest.TrustDomain, string(kind), value)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := j.Do(t.Context(), "uid:0", v, target, "a test"); err != nil {
		t.Fatal(err)
	}
}

func caller(name string) identity.Caller {
	c := catest.Caller(name)
	c.IssuedAt = time.Now().Truncate(time.Second)
	return c
}

// TestWithTheRealCAAndLedger: a thief who renewed is out, and then its whole issuer.
func TestWithTheRealCAAndLedger(t *testing.T) {
	j := join(t)
	owner := caller("reviews")
	first, err := j.issue(t, owner)
	if err != nil {
		t.Fatal(err)
	}
	serial := first.Leaf.SerialNumber.Text(16)
	thief := owner
	thief.Proof, thief.Serial, thief.TokenID = identity.ProofSVID, serial, ""
	stolen, err := j.issue(t, thief)
	if err != nil {
		t.Fatal(err)
	}
	j.do(t, revocation.Revoke, revocation.Serial, serial)
	thief.Serial = stolen.Leaf.SerialNumber.Text(16)
	if _, err := j.issue(t, thief); !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("the thief: %v", err)
	}
	if _, err := j.issue(t, owner); err != nil {
		t.Errorf("the owner, with its token: %v", err)
	}
	wait(t, func() bool { set, _ := j.crls.Current(); return len(set.CRLs) == 1 && set.Problem == "" })
	crl, err := x509.ParseRevocationList(func() []byte { set, _ := j.crls.Current(); return set.CRLs[0] }())
	if err != nil || len(crl.RevokedCertificateEntries) != 2 {
		t.Fatalf("CRL: %+v, %v", crl, err)
	}
	old := first.Issuers[0].SerialNumber.Text(16)
	j.do(t, revocation.Revoke, revocation.IssuerSerial, old)
	if err := j.service.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh, err := j.issue(t, owner)
	if err != nil || fresh.Issuers[0].SerialNumber.Text(16) == old {
		t.Fatalf("after the issuer was revoked: %v", err)
	}
	wait(t, func() bool { set, _ := j.crls.Current(); return len(set.CRLs) == 1 && set.Problem == "" })
	if problems, err := testutil.GatherAndLint(j.metrics); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
	for name, want := range map[string]float64{"ensign_revoked_certificates": 3, "ensign_revoked_issuers": 1, "ensign_crl_in_force": 1, "ensign_crl_problems": 0, "ensign_quarantined_identities": 0} {
		if got := gauge(t, j.metrics, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if end := gauge(t, j.metrics, "ensign_crl_next_update_timestamp_seconds"); end != float64(fresh.Issuers[0].NotAfter.Add(ca.CRLOverlap).Unix()) {
		t.Errorf("CRLs end at %v", end)
	}
}

// TestARevokedKeyGetsNoCertificate: who stole it would have the new one as well, since
// certificates are no secret.
func TestARevokedKeyGetsNoCertificate(t *testing.T) {
	j := join(t)
	csr := catest.Parse(t, catest.CSR(t, catest.NewKey(t)))
	r := ca.Request{Caller: caller("reviews"), CSR: csr}
	first, err := j.service.Issue(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.service.Issue(t.Context(), r); err != nil {
		t.Errorf("a key is used again: %v", err)
	}
	j.do(t, revocation.Revoke, revocation.Serial, first.Leaf.SerialNumber.Text(16))
	r.Caller = caller("reviews")
	if _, err := j.service.Issue(t.Context(), r); !errors.Is(err, identity.ErrRevoked) {
		t.Errorf("a revoked key is used again: %v", err)
	}
	if _, err := j.issue(t, r.Caller); err != nil {
		t.Errorf("with a new key: %v", err)
	}
}

func gauge(t testing.TB, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.Metric[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// BenchmarkDo is one act on a mesh of live SVIDs: the time in which nobody gets one.
func BenchmarkDo(b *testing.B) {
	for _, live := range []int{1000, 10000} {
		b.Run(fmt.Sprint(live), func(b *testing.B) {
			j := join(b)
			now := time.Now()
			for i := range live {
				_, err := j.ledger.Append(b.Context(), ca.Entry{
					Kind: ca.KindSVID, Time: now, Serial: fmt.Sprintf("%x", i+1), Certificate: fmt.Sprintf("%064x", i+1),
					SPIFFEID: fmt.Sprintf("spiffe://cluster.local/ns/shop/sa/a%d", i%100), Pod: fmt.Sprintf("p-%d", i), NotBefore: now, NotAfter: now.Add(time.Hour),
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			for n := 0; b.Loop(); n++ {
				j.do(b, revocation.Revoke, revocation.Pod, fmt.Sprintf("shop/p-%d", n%live))
			}
		})
	}
}

// BenchmarkAdmit is what the gate costs an issuance.
func BenchmarkAdmit(b *testing.B) {
	j := join(b)
	c := caller("reviews")
	for b.Loop() {
		done, err := j.Admit(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		done()
	}
}
