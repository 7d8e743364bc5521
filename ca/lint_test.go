package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// selfUpstream certifies issuers with a root of its own.
type selfUpstream struct {
	key  crypto.Signer
	root *x509.Certificate
}

func newSelfUpstream(t testing.TB) *selfUpstream {
	key := newTestKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	return &selfUpstream{key: key, root: signTest(t, template, template, key.Public(), key)}
}

func (u *selfUpstream) Bundle(context.Context) (Bundle, error) { return NewBundle(u.root) }

func (u *selfUpstream) Signing() *x509.Certificate { return u.root }

func (u *selfUpstream) CertifyIssuer(_ context.Context, r IssuerRequest) ([]*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, r.Template, u.root, r.PublicKey, u.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return []*x509.Certificate{cert}, err
}

// newPrepared is a leaf that is ready to be linted.
func newPrepared(t testing.TB) *prepared {
	t.Helper()
	td := spiffeid.RequireTrustDomainFromString("cluster.local")
	iss, err := newIssuer(t.Context(), newSelfUpstream(t), td, DefaultIssuerLifetime)
	if err != nil {
		t.Fatal(err)
	}
	key := newTestKey(t)
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	profile, err := NewProfile(ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	id := spiffeid.RequireFromPath(td, "/ns/shop/sa/reviews")
	p, err := iss.prepare(must(workload(id, CSR{key: key.Public(), spki: spki})), profile, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEachCheckFails breaks one thing at a time and sees the check that is
// there for it fail, before anything is signed.
func TestEachCheckFails(t *testing.T) {
	uri := func(s string) *url.URL { return &url.URL{Scheme: "spiffe", Host: "cluster.local", Path: s} }
	broken := map[string][]func(p *prepared){
		"serial": {
			func(p *prepared) { p.template.SerialNumber = big.NewInt(5) },
			func(p *prepared) { p.template.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 140) },
			func(p *prepared) { p.template.SerialNumber = new(big.Int).Xor(p.want.serial, big.NewInt(1)) },
		},
		"names": {
			func(p *prepared) { p.template.URIs = nil; p.template.DNSNames = []string{"reviews"} },
			func(p *prepared) { p.template.URIs = nil },
			func(p *prepared) { p.template.DNSNames = []string{"reviews"} },
			func(p *prepared) { p.template.URIs = []*url.URL{uri("/ns/shop/sa/ratings")} },
			func(p *prepared) { p.template.URIs = append(p.template.URIs, uri("/ns/shop/sa/ratings")) },
			func(p *prepared) { p.template.Subject = pkix.Name{CommonName: "reviews"} },
		},
		"key": {
			func(p *prepared) { p.want.spki = slices.Concat(p.want.spki, []byte{0}) },
			func(p *prepared) { p.want.key = newTestKey(t).Public() },
			func(p *prepared) { p.useKey(p.issuer.cert.PublicKey) },
			func(p *prepared) { p.useKey(must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).Public()) },
		},
		"validity": {
			func(p *prepared) { p.template.NotAfter = p.template.NotAfter.Add(time.Second) },
			func(p *prepared) { p.template.NotBefore = p.template.NotBefore.Add(-time.Second) },
			func(p *prepared) { p.window(p.want.notBefore, p.issuer.cert.NotAfter.Add(time.Second)) },
			func(p *prepared) { p.window(p.want.notBefore, p.want.notBefore.Add(time.Second)) },
			func(p *prepared) { p.window(p.issuer.cert.NotBefore.Add(-time.Second), p.want.notAfter) },
			func(p *prepared) { p.window(p.want.now.Truncate(time.Second).Add(time.Hour), p.want.notAfter) },
			func(p *prepared) { p.want.longest = time.Hour },
		},
		"key_usage": {func(p *prepared) { p.template.KeyUsage |= x509.KeyUsageCertSign }, func(p *prepared) { p.template.KeyUsage = 0 }},
		"extended_key_usage": {
			func(p *prepared) { p.template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} },
			func(p *prepared) { p.template.ExtKeyUsage = nil },
			func(p *prepared) { p.template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} },
		},
		"basic_constraints": {func(p *prepared) { p.template.IsCA = true }, func(p *prepared) { p.template.BasicConstraintsValid = false }},
		"issuer": {
			func(p *prepared) { p.alterIssuer(func(c *x509.Certificate) { c.RawSubject = []byte{0x30, 0} }) },
			func(p *prepared) { p.alterIssuer(func(c *x509.Certificate) { c.SubjectKeyId = []byte{1} }) },
		},
		"encoding": {func(p *prepared) { p.template.SignatureAlgorithm = x509.ECDSAWithSHA512 }},
		"extensions": {
			func(p *prepared) { p.template.OCSPServer = []string{"http://ocsp.example"} },
			func(p *prepared) { p.template.SubjectKeyId = []byte{1, 2} },
			func(p *prepared) {
				p.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}
			},
			func(p *prepared) {
				p.template.ExtraExtensions = []pkix.Extension{{Id: oidSubjectAltName, Value: p.want.san}}
			},
		},
	}
	for _, rule := range leafChecks {
		if rule.name == "version" {
			continue // x509 makes version 3 only: see TestVersionCheck
		}
		if len(broken[rule.name]) == 0 {
			t.Errorf("check %q is never seen failing", rule.name)
		}
		for i, brk := range broken[rule.name] {
			p := newPrepared(t)
			brk(p)
			err := p.lint()
			var lint *LintError
			if !errors.As(err, &lint) || lint.Check != rule.name {
				t.Errorf("%s, way %d: got %v", rule.name, i, err)
			}
			if leaf, err := p.sign(t.Context()); leaf != nil || !errors.Is(err, ErrMisissuance) {
				t.Errorf("%s, way %d: it was signed all the same", rule.name, i)
			}
		}
	}
}

func TestVersionCheck(t *testing.T) {
	if checkVersion(&x509.Certificate{Version: 1}, expectation{}) == "" || checkVersion(&x509.Certificate{Version: 3}, expectation{}) != "" {
		t.Error("version 1 passes, or version 3 does not")
	}
}

func (p *prepared) window(from, to time.Time) {
	p.template.NotBefore, p.want.notBefore = from, from
	p.template.NotAfter, p.want.notAfter = to, to
}

// alterIssuer makes the issuer another than the one that is expected.
func (p *prepared) alterIssuer(edit func(*x509.Certificate)) {
	altered := *p.issuer.cert
	edit(&altered)
	p.issuer.cert = &altered
}

func (p *prepared) useKey(key crypto.PublicKey) {
	p.want.key, p.want.spki = key, must(x509.MarshalPKIXPublicKey(key))
}

func newTestKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signTest(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, public, key))))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
