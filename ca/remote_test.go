package ca_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// elsewhere is a root that signs leaves itself, as it is told to by edit.
type elsewhere struct {
	key    crypto.Signer
	cert   *x509.Certificate
	edit   func(leaf *x509.Certificate)
	answer func() (*x509.Certificate, error) // in the place of a leaf
	ill    error
	asked  []ca.LeafRequest
}

func newElsewhere(t *testing.T, curve elliptic.Curve, edit func(*x509.Certificate)) *elsewhere {
	t.Helper()
	key := must(ecdsa.GenerateKey(curve, rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "root elsewhere"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1, 2, 3},
	}
	if edit != nil {
		edit(template)
	}
	return &elsewhere{key: key, cert: must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))))}
}

func (e *elsewhere) Chain() []*x509.Certificate { return []*x509.Certificate{e.cert} }
func (e *elsewhere) Healthy() error             { return e.ill }

func (e *elsewhere) SignLeaf(_ context.Context, r ca.LeafRequest) (*x509.Certificate, error) {
	e.asked = append(e.asked, r)
	if e.answer != nil {
		return e.answer()
	}
	csr, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		return nil, err
	}
	leaf := *r.Template
	leaf.SerialNumber = new(big.Int).Lsh(big.NewInt(int64(len(e.asked))), 150)
	leaf.SubjectKeyId = []byte{9}
	if e.edit != nil {
		e.edit(&leaf)
	}
	signer := *e.cert
	signer.PublicKey = e.key.Public()
	der, err := x509.CreateCertificate(rand.Reader, &leaf, &signer, csr.PublicKey, e.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Upstream of a mesh whose one root is elsewhere. It certifies nobody.
func (e *elsewhere) Bundle(context.Context) (ca.Bundle, error) { return ca.NewBundle(e.cert) }
func (e *elsewhere) Signing() *x509.Certificate                { return e.cert }
func (e *elsewhere) CertifyIssuer(context.Context, ca.IssuerRequest) ([]*x509.Certificate, error) {
	return nil, errors.New("an issuer was asked for")
}

// mesh is a CA under it.
func (e *elsewhere) mesh(t *testing.T) catest.Mesh {
	t.Helper()
	return catest.NewMesh(t, func(c *ca.Config) {
		c.Upstream, c.Remote = e, func() ca.Remote { return e }
	})
}

func ask(t *testing.T, m catest.Mesh) (ca.Issued, error) {
	t.Helper()
	return m.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: catest.Parse(t, catest.CSR(t, catest.NewKey(t))), Lifetime: time.Hour})
}

// TestLeavesSignedElsewhere within what the other side may choose, each bound of it on
// both sides; what is beyond is refused by the check that is named, and recorded nowhere.
func TestLeavesSignedElsewhere(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(*x509.Certificate)
		check string // "" is taken
	}{
		"as asked":            {nil, ""},
		"ends earlier":        {func(l *x509.Certificate) { l.NotAfter = l.NotAfter.Add(-29 * time.Minute) }, ""},
		"ends far earlier":    {func(l *x509.Certificate) { l.NotAfter = l.NotAfter.Add(-31 * time.Minute) }, "validity"},
		"ends later":          {func(l *x509.Certificate) { l.NotAfter = l.NotAfter.Add(time.Second) }, "validity"},
		"starts earlier":      {func(l *x509.Certificate) { l.NotBefore = l.NotBefore.Add(-4 * time.Minute) }, ""},
		"starts far earlier":  {func(l *x509.Certificate) { l.NotBefore = l.NotBefore.Add(-6 * time.Minute) }, "validity"},
		"starts later":        {func(l *x509.Certificate) { l.NotBefore = l.NotBefore.Add(4 * time.Minute) }, ""},
		"starts far later":    {func(l *x509.Certificate) { l.NotBefore = l.NotBefore.Add(6 * time.Minute) }, "validity"},
		"a small serial":      {func(l *x509.Certificate) { l.SerialNumber = big.NewInt(5) }, "serial"},
		"a serial too long":   {func(l *x509.Certificate) { l.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 159) }, "serial"},
		"no key identifier":   {func(l *x509.Certificate) { l.SubjectKeyId = nil }, "extensions"},
		"an OCSP responder":   {func(l *x509.Certificate) { l.OCSPServer = []string{"http://ocsp.example"} }, "extensions"},
		"a subject":           {func(l *x509.Certificate) { l.Subject.CommonName = "reviews" }, "names"},
		"another name":        {func(l *x509.Certificate) { l.URIs[0].Path = "/ns/shop/sa/admin" }, "names"},
		"a further name":      {func(l *x509.Certificate) { l.DNSNames = []string{"books"} }, "names"},
		"a CA":                {func(l *x509.Certificate) { l.IsCA = true }, "basic_constraints"},
		"another key usage":   {func(l *x509.Certificate) { l.KeyUsage |= x509.KeyUsageKeyAgreement }, "key_usage"},
		"for servers alone":   {func(l *x509.Certificate) { l.ExtKeyUsage = l.ExtKeyUsage[:1] }, "extended_key_usage"},
		"another algorithm":   {func(l *x509.Certificate) { l.SignatureAlgorithm = x509.ECDSAWithSHA384 }, "issuer"},
		"an unknown use more": {func(l *x509.Certificate) { l.ExtKeyUsage = append(l.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) }, "extended_key_usage"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newElsewhere(t, elliptic.P256(), nil)
			e.edit = func(l *x509.Certificate) {
				if id := *l.URIs[0]; c.edit != nil {
					l.URIs = append(l.URIs[:0:0], &id)
					c.edit(l)
				}
			}
			m := e.mesh(t)
			issued, err := ask(t, m)
			var lint *ca.LintError
			switch {
			case c.check == "" && (err != nil || len(m.Ledger.Entries(ca.KindSVID)) != 1 || !issued.Issuers[0].Equal(e.cert)):
				t.Errorf("got %v", err)
			case c.check != "" && (!errors.As(err, &lint) || lint.Check != c.check || len(m.Ledger.Entries(ca.KindSVID)) != 0):
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestSomebodyElseAnswers: another key than the CA's, another's certificate, or none.
func TestSomebodyElseAnswers(t *testing.T) {
	e := newElsewhere(t, elliptic.P256(), nil)
	m := e.mesh(t)
	first, err := ask(t, m)
	if err != nil {
		t.Fatal(err)
	}
	e.answer = func() (*x509.Certificate, error) { return first.Leaf, nil }
	if _, err := ask(t, m); !errors.Is(err, ca.ErrMisissuance) {
		t.Errorf("another's: %v", err)
	}
	e.answer = func() (*x509.Certificate, error) { return nil, nil }
	if _, err := ask(t, m); !errors.Is(err, ca.ErrMisissuance) {
		t.Errorf("none: %v", err)
	}
	down := errors.New("down")
	e.answer = func() (*x509.Certificate, error) { return nil, down }
	if _, err := ask(t, m); !errors.Is(err, ca.ErrRemote) || !errors.Is(err, down) {
		t.Errorf("down: %v", err)
	}
	e.answer, e.key = nil, catest.NewKey(t)
	var lint *ca.LintError
	if _, err := ask(t, m); !errors.As(err, &lint) || lint.Check != "chain" {
		t.Errorf("signed by another key: %v", err)
	}
	if e.ill = down; !errors.Is(m.Service.Healthy(time.Now()), down) {
		t.Error("it is ill, and health does not say so")
	}
	if n := len(m.Ledger.Entries(ca.KindSVID)); n != 1 {
		t.Errorf("the ledger holds %d", n)
	}
}

// TestNothingIsSentBeforeItIsChecked: who may not have a certificate is refused here, and
// what is sent is the caller's own request.
func TestNothingIsSentBeforeItIsChecked(t *testing.T) {
	e := newElsewhere(t, elliptic.P256(), nil)
	m := e.mesh(t)
	foreign := catest.Caller("reviews")
	foreign.Expires = time.Now().Add(-time.Second)
	text := catest.CSR(t, catest.NewKey(t))
	if _, err := m.Service.Issue(t.Context(), ca.Request{Caller: foreign, CSR: catest.Parse(t, text)}); err == nil || len(e.asked) != 0 {
		t.Errorf("%d requests were sent: %v", len(e.asked), err)
	}
	if _, err := m.Service.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: catest.Parse(t, text)}); err != nil {
		t.Fatal(err)
	}
	if string(catest.PEM(e.asked[0].CSR)) != string(text) {
		t.Error("another request than the caller's was sent")
	}
}

// TestACAElsewhereThatIsNotTaken: nobody would verify its leaves, or they can't be checked.
func TestACAElsewhereThatIsNotTaken(t *testing.T) {
	profile := must(ca.NewProfile(ca.ProfileConfig{}))
	for name, e := range map[string]*elsewhere{
		"a key of P-384":    newElsewhere(t, elliptic.P384(), nil),
		"that has expired":  newElsewhere(t, elliptic.P256(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"that may not sign": newElsewhere(t, elliptic.P256(), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }),
	} {
		_, err := ca.New(t.Context(), ca.Config{TrustDomain: catest.TrustDomain, Profile: profile, Upstream: e, Ledger: &catest.Ledger{}, Remote: func() ca.Remote { return e }})
		if !errors.Is(err, ca.ErrMisissuance) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
