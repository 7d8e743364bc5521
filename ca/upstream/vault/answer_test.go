package vault

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// under makes a certificate signed by parent, or by itself if that is nil.
func under(t testing.TB, parent *authority, edit func(*x509.Certificate)) authority {
	t.Helper()
	key := catest.NewKey(t)
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "CA " + rand.Text()[:8]},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: -1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		PermittedDNSDomainsCritical: true,
	}
	if edit != nil {
		edit(template)
	}
	signer := authority{template, key}
	if parent != nil {
		signer = *parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, key.Public(), signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func TestChainsInAnyOrder(t *testing.T) {
	root := under(t, nil, nil)
	middle := under(t, &root, nil)
	leaf := under(t, &middle, nil)
	other := under(t, nil, nil)
	chain, err := chainOf(map[string]any{"certificate": pemOf(leaf.cert),
		"ca_chain": []any{pemOf(other.cert), pemOf(root.cert), pemOf(leaf.cert), pemOf(middle.cert)}})
	if err != nil || len(chain) != 3 || !chain[0].Equal(leaf.cert) || !chain[1].Equal(middle.cert) || !chain[2].Equal(root.cert) {
		t.Fatalf("%d certificates: %v", len(chain), err)
	}
	many := make([]any, maxChain+1)
	for name, data := range map[string]map[string]any{
		"nothing":            {},
		"no certificate":     {"ca_chain": []any{pemOf(root.cert)}},
		"not PEM":            {"certificate": "hello"},
		"a key":              {"certificate": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
		"not X.509":          {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
		"two in one":         {"certificate": pemOf(root.cert) + pemOf(root.cert)},
		"root missing":       {"certificate": pemOf(leaf.cert), "ca_chain": []any{pemOf(middle.cert)}},
		"chain of other":     {"certificate": pemOf(leaf.cert), "ca_chain": []any{pemOf(other.cert)}},
		"chain of numbers":   {"certificate": pemOf(leaf.cert), "ca_chain": []any{1, 2}},
		"chain without end":  {"certificate": pemOf(leaf.cert), "ca_chain": many},
		"chain is no list":   {"certificate": pemOf(leaf.cert), "ca_chain": pemOf(middle.cert)},
		"certificate a list": {"certificate": []any{pemOf(root.cert)}},
	} {
		if _, err := chainOf(data); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIssuersThatAreRefused(t *testing.T) {
	root := under(t, nil, nil)
	trusted, err := ca.NewBundle(root.cert)
	if err != nil {
		t.Fatal(err)
	}
	asked := &x509.Certificate{NotBefore: time.Now().Add(-time.Minute), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	domain := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.PermittedURIDomains = names }
	}
	chain := func(edit func(*x509.Certificate), above ...authority) []*x509.Certificate {
		signer, list := root, []*x509.Certificate{}
		if len(above) > 0 {
			signer, list = above[0], append(list, above[0].cert)
		}
		return append([]*x509.Certificate{under(t, &signer, edit).cert}, list...)
	}
	foreign := under(t, nil, nil)
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		want  error
	}{
		"good":             {chain(nil), nil},
		"good, in between": {chain(nil, under(t, &root, domain("cluster.local"))), nil},
		"good, wider":      {chain(nil, under(t, &root, domain(".local", "other.example"))), nil},
		"a root":           {nil, ErrAnswer},
		"a DNS name":       {chain(func(c *x509.Certificate) { c.DNSNames = []string{"issuer"} }), ErrAnswer},
		"a URI":            {chain(func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: "cluster.local"}} }), ErrAnswer},
		"key usage":        {chain(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature }), ErrAnswer},
		"extended usage":   {chain(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), ErrAnswer},
		"an old one":       {chain(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(-time.Hour) }), ErrAnswer},
		"another root":     {chain(nil, foreign), ErrOtherRoot},
		"root of one name": {chain(nil, under(t, nil, func(c *x509.Certificate) { c.Subject = root.cert.Subject })), ErrOtherRoot},
		"other domain":     {chain(nil, under(t, &root, domain("other.example"))), ErrAnswer},
		"only below":       {chain(nil, under(t, &root, domain(".cluster.local"))), ErrAnswer},
		"excluded": {chain(nil, under(t, &root, func(c *x509.Certificate) {
			c.ExcludedURIDomains = []string{"cluster.local"}
		})), ErrAnswer},
	} {
		if err := checkSigned(c.chain, asked, catest.TrustDomain, trusted); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// FuzzChain: whatever Vault answers, there is a chain that holds together, or a refusal.
func FuzzChain(f *testing.F) {
	root := under(f, nil, nil)
	leaf := under(f, &root, nil)
	f.Add(pemOf(leaf.cert), pemOf(root.cert))
	f.Add(pemOf(root.cert), "")
	f.Add("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", strings.Repeat("-", 100))
	f.Fuzz(func(t *testing.T, cert, above string) {
		chain, err := chainOf(map[string]any{"certificate": cert, "ca_chain": []any{above}})
		if err != nil {
			return
		}
		for i, c := range chain {
			if c.CheckSignatureFrom(chain[min(i+1, len(chain)-1)]) != nil {
				t.Fatalf("certificate %d of %d is not signed by the next", i, len(chain))
			}
		}
	})
}
