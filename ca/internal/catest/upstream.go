package catest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// Upstream is a root in memory.
type Upstream struct {
	mu    sync.Mutex
	key   crypto.Signer
	root  *x509.Certificate
	err   error
	count int
	// Alter, if set, may change each issuer before it is signed.
	Alter func(template *x509.Certificate)
}

// NewUpstream makes a root that lives for the given time from now.
func NewUpstream(t testing.TB, life time.Duration) *Upstream {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign,
	}
	return &Upstream{key: key, root: sign(t, template, template, key.Public(), key)}
}

// Fail makes every later CertifyIssuer return err, until Fail(nil).
func (u *Upstream) Fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
}

// Count is how many issuers were asked for.
func (u *Upstream) Count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count
}

// CertifyIssuer implements ca.Upstream.
func (u *Upstream) CertifyIssuer(_ context.Context, r ca.IssuerRequest) ([]*x509.Certificate, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count++
	if u.err != nil {
		return nil, u.err
	}
	template := *r.Template
	if template.NotAfter.After(u.root.NotAfter) {
		template.NotAfter = u.root.NotAfter
	}
	if u.Alter != nil {
		u.Alter(&template)
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, u.root, r.PublicKey, u.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return []*x509.Certificate{cert}, err
}

// Bundle implements ca.Upstream.
func (u *Upstream) Bundle(context.Context) (ca.Bundle, error) { return ca.NewBundle(u.root) }

func sign(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Signing implements ca.Upstream.
func (u *Upstream) Signing() *x509.Certificate { return u.root }
