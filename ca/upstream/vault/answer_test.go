package vault

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

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
