package vault

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// newLeafSet is a Vault that signs each leaf by the role svid.
func newLeafSet(t testing.TB, variables ...string) *set {
	t.Helper()
	s := newSet(t, append([]string{"ROLE=svid", "SERVER_IPS=127.0.0.1"}, variables...)...)
	s.cfg.Role = "svid"
	s.daily = s.vault.NewToken(t, "1h", "ensign-leaves")
	write(t, s.tokens, s.daily)
	return s
}

// firstRoot is the mesh's first root, however it signs.
func (s *set) firstRoot(t testing.TB) rotation.Root {
	t.Helper()
	_, first, err := s.place(t).First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func keysOfAllKinds(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"P-256": catest.NewKey(t), "P-384": p384, "RSA": long, "Ed25519": edwards}
}

// TestVaultSignsEachLeaf: SVIDs of all kinds of keys, of the control plane itself, each
// recorded with Vault's CA as its issuer, which signs no CRL here.
func TestVaultSignsEachLeaf(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t)
	first := s.firstRoot(t)
	service := s.service(t, first)
	top := first.Chain()[0]
	for name, key := range keysOfAllKinds(t) {
		// With the caller's own name in it, which is as good as none.
		csr := catest.Parse(t, catest.CSR(t, key, "spiffe://cluster.local/ns/shop/sa/reader"))
		issued, err := service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reader"), CSR: csr, Lifetime: time.Hour})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		leaf := issued.Leaf
		if !issued.Issuers[0].Equal(top) || len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://cluster.local/ns/shop/sa/reader" {
			t.Errorf("%s: %v of %q", name, leaf.URIs, leaf.Issuer)
		}
		if left := time.Until(leaf.NotAfter); left > time.Hour || left < 54*time.Minute || leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature {
			t.Errorf("%s: for %s, usage %v", name, left, leaf.KeyUsage)
		}
		if back := time.Since(leaf.NotBefore); back < ca.Backdate-time.Second || back > ca.Backdate+time.Minute {
			t.Errorf("%s starts %s ago", name, back)
		}
		i := slices.IndexFunc(s.ledger.Entries(ca.KindSVID), func(e ca.Entry) bool { return e.Certificate == ca.Fingerprint(leaf) })
		if e := s.ledger.Entries(ca.KindSVID); i < 0 || e[i].Serial != leaf.SerialNumber.Text(16) || e[i].IssuerSerial != top.SerialNumber.Text(16) {
			t.Errorf("%s: the ledger holds %+v", name, e)
		}
	}
	issue(t, service) // for a day
	if issuers := s.ledger.Entries(ca.KindIssuer); len(issuers) != 1 || issuers[0].Certificate != ca.Fingerprint(top) || issuers[0].IssuerSerial != issuers[0].Serial {
		t.Errorf("issuers in the ledger: %+v", issuers)
	}
	status := service.Status()
	if !status.Remote || !status.ReplaceAt.Equal(top.NotAfter) || service.Introduced(top.SerialNumber.Text(16)) == nil {
		t.Errorf("status %+v", status)
	}
	if _, err := service.SignCRL(top.SerialNumber.Text(16), big.NewInt(1), nil); !errors.Is(err, ca.ErrNoCRL) {
		t.Errorf("a CRL: %v", err)
	}
	if _, err := first.CertifyIssuer(t.Context(), newRequest(t)); err == nil {
		t.Error("it certified an issuer too")
	}
}

// TestVaultSignsForTheControlPlane: by a role of its own, with the names that setup.sh
// was told and no others.
func TestVaultSignsForTheControlPlane(t *testing.T) {
	t.Parallel()
	s := newLeafSet(t)
	service := s.service(t, s.firstRoot(t))
	csr, err := ca.NewCSR(catest.NewKey(t))
	if err != nil {
		t.Fatal(err)
	}
	server, err := service.IssueServer(t.Context(), ca.ServerRequest{CSR: csr, Names: []string{"istiod.istio-system.svc", "localhost", "127.0.0.1"}, Lifetime: 24 * time.Hour})
	if err != nil || !slices.Equal(server.Leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Errorf("server certificate: %v", err)
	}
	if _, err := service.IssueServer(t.Context(), ca.ServerRequest{CSR: csr, Names: []string{"other.example"}}); !errors.Is(err, ca.ErrRemote) || !errors.Is(err, ErrDenied) {
		t.Errorf("a server's name that setup.sh was not told: %v", err)
	}
	if _, err := service.IssueBundleEndpoint(t.Context(), csr, time.Hour); err != nil {
		t.Errorf("bundle endpoint: %v", err)
	}
}
