package runbooks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority is a CA as people make them.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority is a root, or a CA of path length 0 below one, as those of Istio's
// makefile.
func newAuthority(t *testing.T, name string, life time.Duration, above *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Istio"}},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(life),
		IsCA: true, BasicConstraintsValid: true,
		// Those of Istio's makefile: none of its CAs may sign a CRL.
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
	}
	a := &authority{key: key}
	parent := template
	if template.MaxPathLen = -1; above != nil {
		template.MaxPathLen, template.MaxPathLenZero, parent = 0, true, above.cert
	} else {
		above = a
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), above.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// cacerts is a folder as Istio's secret has it, of a CA and those above it, root last.
func cacerts(t *testing.T, ca *authority, above ...*authority) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, all ...[]byte) (out []byte) {
		for _, der := range all {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
		}
		return out
	}
	chain := [][]byte{ca.cert.Raw}
	for _, a := range above {
		chain = append(chain, a.cert.Raw)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{
		"ca-cert.pem": text("CERTIFICATE", ca.cert.Raw), "ca-key.pem": text("PRIVATE KEY", key),
		"cert-chain.pem": text("CERTIFICATE", chain...), "root-cert.pem": text("CERTIFICATE", chain[len(chain)-1]),
	} {
		// As a secret is unpacked: the runbook says what to do about it.
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
