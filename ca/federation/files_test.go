package federation_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	spiffe "github.com/spiffe/go-spiffe/v2/federation"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/federation"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

// webPair is a certificate of the web for 127.0.0.1, which signs itself, and its key.
func webPair(t *testing.T, name string) (cert, key []byte, roots *x509.CertPool) {
	t.Helper()
	private := catest.NewKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), roots
}

func webFiles(t *testing.T, name string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	cert, key, roots := webPair(t, name)
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if err := errors.Join(os.WriteFile(certFile, cert, 0o644), os.WriteFile(keyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, roots
}

func webClient(roots *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 10 * time.Second}
}

// TestWebFilesAreReadAgain: a pair that is half replaced leaves the one before.
func TestWebFilesAreReadAgain(t *testing.T) {
	cert, key, _ := webFiles(t, "one")
	files := federation.NewFiles(cert, key)
	shown := func() (string, error) {
		c, err := files.Certificate(t.Context(), ca.Bundle{})
		return c.Leaf.Subject.CommonName, err
	}
	if name, err := shown(); err != nil || name != "one" {
		t.Fatalf("shows %s, %v", name, err)
	}
	newCert, newKey, _ := webPair(t, "two")
	if err := os.WriteFile(cert, newCert, 0o644); err != nil {
		t.Fatal(err)
	}
	if name, err := shown(); err == nil || name != "one" || !strings.Contains(err.Error(), "belong together") {
		t.Errorf("half replaced: shows %s, %v", name, err)
	}
	if err := os.WriteFile(key, newKey, 0o600); err != nil {
		t.Fatal(err)
	}
	if name, err := shown(); err != nil || name != "two" {
		t.Errorf("replaced: shows %s, %v", name, err)
	}
	for name, spoil := range map[string]func() error{
		"gone":            func() error { return os.Remove(cert) },
		"readable by all": func() error { return errors.Join(os.WriteFile(cert, newCert, 0o644), os.Chmod(key, 0o604)) },
		"huge": func() error {
			return errors.Join(os.Chmod(key, 0o600), os.WriteFile(cert, make([]byte, 1<<20+1), 0o644))
		},
		"a folder": func() error { return errors.Join(os.Remove(cert), os.Mkdir(cert, 0o755)) },
	} {
		if err := errors.Join(os.RemoveAll(cert), os.WriteFile(cert, newCert, 0o644), os.Chmod(key, 0o600), spoil()); err != nil {
			t.Fatal(err)
		}
		if shows, err := shown(); err == nil || shows != "two" {
			t.Errorf("%s: shows %s, %v", name, shows, err)
		}
	}
}

// TestWebProfile: go-spiffe's client believes the endpoint by the web's roots.
func TestWebProfile(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	f := &trust{}
	f.set(t, mesh, mesh)
	cert, key, roots := webFiles(t, "one")
	reg := prometheus.NewRegistry()
	url := serve(t, f, federation.NewFiles(cert, key), reg)
	got, err := spiffe.FetchBundle(t.Context(), catest.TrustDomain, url, spiffe.WithWebPKIRoots(roots))
	if err != nil || !got.HasX509Authority(mesh.Upstream.Signing()) {
		t.Fatalf("fetched %v, %v", got, err)
	}
	if _, err := spiffe.FetchBundle(t.Context(), catest.TrustDomain, url, spiffe.WithWebPKIRoots(x509.NewCertPool())); err == nil {
		t.Error("believed by who does not know it")
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("metrics %v, %v", families, err)
	}
	if end := families[0].GetMetric()[0].GetGauge().GetValue(); end < float64(time.Now().Unix()) {
		t.Errorf("%s is %f", families[0].GetName(), end)
	}
}
