package catest

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// Upstream is a root in memory, or several of which one signs.
type Upstream struct {
	mu      sync.Mutex
	trusted []*x509.Certificate
	root    *x509.Certificate // signs
	keys    map[string]crypto.Signer
	err     error
	count   int
	// Alter, if set, may change each issuer before it is signed.
	Alter func(template *x509.Certificate)
}

// NewUpstream makes a root that lives for the given time from now.
func NewUpstream(t testing.TB, life time.Duration) *Upstream {
	t.Helper()
	u := &Upstream{keys: map[string]crypto.Signer{}}
	u.root = u.Add(t, life)
	return u
}

// Add makes another root, which is trusted from now on.
func (u *Upstream) Add(t testing.TB, life time.Duration) *x509.Certificate {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	key, serial := NewKey(t), big.NewInt(int64(len(u.keys)+1))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "test root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign,
	}
	root := sign(t, template, template, key.Public(), key)
	u.keys[string(root.Raw)] = key
	u.trusted = append(u.trusted, root)
	return root
}

// Sign has one of the roots sign, and these trusted.
func (u *Upstream) Sign(root *x509.Certificate, trusted ...*x509.Certificate) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.root, u.trusted = root, trusted
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
	der, err := x509.CreateCertificate(rand.Reader, &template, u.root, r.PublicKey, u.keys[string(u.root.Raw)])
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return []*x509.Certificate{cert}, err
}

// Bundle implements ca.Upstream.
func (u *Upstream) Bundle(context.Context) (ca.Bundle, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return ca.NewBundle(u.trusted...)
}

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
func (u *Upstream) Signing() *x509.Certificate {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.root
}
