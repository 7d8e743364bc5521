package upstream

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// istioKeys are RSA keys as Istio's Makefile makes them, but shorter for speed.
var istioKeys = sync.OnceValue(func() (keys [2]*rsa.PrivateKey) {
	for i := range keys {
		keys[i], _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	return keys
})

// foreign is a CA of another maker, with the files that Istio's tools/certs makes: a
// root without a path length, and an intermediate of path length 0 that may not sign CRLs.
type foreign struct {
	root, cert *x509.Certificate // templates
	rootKey    crypto.Signer
	key        crypto.Signer
	files      map[string]string
}

func newForeign() *foreign {
	const usage = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign
	ca := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{Organization: []string{"Istio"}, CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(2, 0, 0),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: usage, MaxPathLen: -1, SignatureAlgorithm: x509.SHA256WithRSA,
		}
	}
	f := &foreign{root: ca(1, "Root CA"), cert: ca(2, "Intermediate CA"), rootKey: istioKeys()[0], key: istioKeys()[1]}
	f.cert.MaxPathLen, f.cert.MaxPathLenZero = 0, true
	f.cert.SubjectKeyId = []byte{1, 2, 3, 4}
	f.cert.Subject.Locality, f.cert.DNSNames = []string{"cluster1"}, []string{"istiod.istio-system.svc"}
	return f
}

// write makes the folder.
func (f *foreign) write(t *testing.T) string {
	t.Helper()
	root, err := create(f.root, f.root, f.rootKey.Public(), f.rootKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := create(f.cert, root, f.key.Public(), f.rootKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(f.key)
	if err != nil {
		t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	files := map[string]string{
		caCertFile: text("CERTIFICATE", cert.Raw), rootFile: text("CERTIFICATE", root.Raw),
		chainFile: text("CERTIFICATE", cert.Raw) + text("CERTIFICATE", root.Raw), caKeyFile: text("PRIVATE KEY", key),
	}
	for name, content := range f.files {
		files[name] = content
	}
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// imports is a data folder that takes a foreign CA.
type imports struct {
	ImportConfig
	keys   *keystore.Store
	ledger *catest.Ledger
	log    bytes.Buffer
	dir    string
}

func newImports(t *testing.T, folder string) *imports {
	t.Helper()
	dir := t.TempDir()
	keys, err := keystore.Open(filepath.Join(dir, "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	i := &imports{keys: keys, ledger: &catest.Ledger{}, dir: dir}
	i.ImportConfig = ImportConfig{Folder: folder, TrustDomain: catest.TrustDomain, Keys: keys, Issuers: keys, Ledger: i.ledger, Logger: slog.New(slog.NewTextHandler(&i.log, nil))}
	return i
}

func (i *imports) first(t *testing.T) (rotation.Root, error) {
	t.Helper()
	p, err := NewImported(i.ImportConfig)
	if err != nil {
		t.Fatal(err)
	}
	_, root, err := p.First(t.Context())
	return root, err
}

// start is an ensignd with its CA, on what is there.
func (i *imports) start(t *testing.T) (*rotation.Manager, *ca.Service) {
	t.Helper()
	p, err := NewImported(i.ImportConfig)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBuiltin(Config{Dir: i.dir, TrustDomain: i.TrustDomain, Keys: i.keys, Ledger: i.ledger})
	if err != nil {
		t.Fatal(err)
	}
	m, err := rotation.Open(t.Context(), rotation.Config{
		TrustDomain: i.TrustDomain, Ledger: i.ledger, Dir: i.dir, FirstPlace: rotation.Imported, First: p.First,
		Places: map[string]rotation.Place{rotation.Imported: p, rotation.Builtin: b},
	})
	if err != nil {
		t.Fatal(err)
	}
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ca.New(t.Context(), ca.Config{
		TrustDomain: i.TrustDomain, Profile: profile, Upstream: m, Ledger: i.ledger, Issuers: i.keys, LiveIssuers: i.ledger.LiveIssuers, Logger: i.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, s
}

func svid(t *testing.T, s *ca.Service) ca.Issued {
	t.Helper()
	issued, err := s.Issue(t.Context(), ca.Request{Caller: catest.Caller("reviews"), CSR: catest.Parse(t, catest.CSR(t, catest.NewKey(t)))})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

func verifies(t *testing.T, issued ca.Issued) {
	t.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, r := range issued.Bundle.Roots() {
		roots.AddCert(r)
	}
	for _, c := range issued.Issuers {
		between.AddCert(c)
	}
	if _, err := issued.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
}
