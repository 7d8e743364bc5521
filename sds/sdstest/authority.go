// Package sdstest is a certificate authority with real cryptography, for the tests
// of what asks for certificates. It checks nothing: use ca for real.
package sdstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// backdate is how far before now certificates begin, as with the real CA.
const backdate = 10 * time.Minute

// Authority is a root and one issuer under it.
type Authority struct {
	Root, Issuer       *x509.Certificate
	rootKey, issuerKey *ecdsa.PrivateKey
	// Also are further roots that answers hold, as in a rotation.
	Also []*x509.Certificate
}

// New makes an Authority that ends in a year.
func New(t testing.TB) *Authority {
	t.Helper()
	return withKey(t, "test root", newKey(t), 0)
}

// Named is New with the common name of the root, which, as the real one, has no more
// than issuers under it.
func Named(t testing.TB, name string) *Authority {
	t.Helper()
	return withKey(t, name, newKey(t), 1)
}

// Usurper is whoever has the issuer's key and calls it a root.
func (a *Authority) Usurper(t testing.TB) *Authority {
	t.Helper()
	return withKey(t, a.Issuer.Subject.CommonName, a.issuerKey, 0)
}

func withKey(t testing.TB, name string, rootKey *ecdsa.PrivateKey, pathLength int) *Authority {
	t.Helper()
	root, issuerKey := authorityTemplate(name), newKey(t)
	root.MaxPathLen = pathLength
	a := &Authority{rootKey: rootKey, issuerKey: issuerKey}
	a.Root = create(t, root, root, rootKey.Public(), rootKey)
	a.Issuer = create(t, authorityTemplate("Ensign issuer under "+name), a.Root, issuerKey.Public(), rootKey)
	return a
}

// Link is the certificate of another root's name and key that this root signs; spoil
// may be nil, or change the template.
func (a *Authority) Link(t testing.TB, next *Authority, spoil func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	link := authorityTemplate(next.Root.Subject.CommonName)
	link.MaxPathLenZero = true
	link.PermittedDNSDomains, link.PermittedURIDomains, link.PermittedDNSDomainsCritical = []string{"link.invalid"}, []string{"link.invalid"}, true
	if spoil != nil {
		spoil(link)
	}
	return create(t, link, a.Root, next.rootKey.Public(), a.rootKey)
}

// IssuerLink is Link, signed by the issuer, which has no right to.
func (a *Authority) IssuerLink(t testing.TB, next *Authority) *x509.Certificate {
	t.Helper()
	return create(t, authorityTemplate(next.Root.Subject.CommonName), a.Issuer, next.rootKey.Public(), a.issuerKey)
}

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"cluster.local"}, CommonName: name},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// Leaf is the template of a workload certificate, for a test to spoil.
func Leaf(id string, ttl time.Duration) *x509.Certificate {
	leaf := &x509.Certificate{
		SerialNumber: serial(), NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(ttl),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if id != "" {
		leaf.URIs = []*url.URL{uri(id)}
	}
	return leaf
}

func uri(id string) *url.URL {
	u, err := url.Parse(id)
	if err != nil {
		panic(err)
	}
	return u
}

// Issue answers a PEM request with the template's certificate, in the form of the
// CSR RPC: leaf, issuer, all roots.
func (a *Authority) Issue(t testing.TB, request []byte, leaf *x509.Certificate) []string {
	t.Helper()
	block, _ := pem.Decode(request)
	if block == nil {
		t.Error("the request is not PEM")
		return nil
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Error(err)
		return nil
	}
	return a.IssueFor(t, csr.PublicKey, leaf)
}

// IssueFor is Issue for a bare public key.
func (a *Authority) IssueFor(t testing.TB, key crypto.PublicKey, leaf *x509.Certificate) []string {
	t.Helper()
	cert := create(t, leaf, a.Issuer, key, a.issuerKey)
	return []string{PEM(cert), PEM(a.Issuer), PEM(append([]*x509.Certificate{a.Root}, a.Also...)...)}
}

// TLS makes a key and a certificate of the template for use in tests' own ends.
func (a *Authority) TLS(t testing.TB, leaf *x509.Certificate) tls.Certificate {
	t.Helper()
	key := newKey(t)
	cert := create(t, leaf, a.Issuer, key.Public(), a.issuerKey)
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.Issuer.Raw}, PrivateKey: key, Leaf: cert}
}

// Server makes a server's certificate for DNS names.
func (a *Authority) Server(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	leaf := Leaf("", 24*time.Hour)
	leaf.DNSNames = names
	return a.TLS(t, leaf)
}

// Pool holds all roots.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, root := range append([]*x509.Certificate{a.Root}, a.Also...) {
		pool.AddCert(root)
	}
	return pool
}

// PEM writes certificates one after the other.
func PEM(certs ...*x509.Certificate) string {
	var text strings.Builder
	for _, cert := range certs {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	return text.String()
}

// CRL makes the issuer's list of revoked serials, valid until then; spoil may be
// nil, or change the template.
func (a *Authority) CRL(t testing.TB, number int64, until time.Time, revoked []*big.Int, spoil func(*x509.RevocationList)) []byte {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-backdate), NextUpdate: until}
	for _, serial := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: time.Now()})
	}
	if spoil != nil {
		spoil(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Issuer, a.issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial() *big.Int {
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err)
	}
	return number
}

func create(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
