package daemon

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// cacerts writes what Istio's Makefile makes: a root, and an intermediate of path length 0.
func cacerts(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, kind string, mode os.FileMode, blocks ...[]byte) {
		var text []byte
		for _, der := range blocks {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})...)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, mode); err != nil {
			t.Fatal(err)
		}
	}
	make := func(name string, by *x509.Certificate, signer *rsa.PrivateKey) (*x509.Certificate, *rsa.PrivateKey) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{Organization: []string{"Istio"}, CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(2, 0, 0), IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature, MaxPathLen: -1,
		}
		if by == nil {
			by, signer = template, key
			template.NotAfter = template.NotAfter.AddDate(1, 0, 0)
		} else {
			template.MaxPathLen, template.MaxPathLenZero = 0, true
		}
		der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	root, rootKey := make("Root CA", nil, nil)
	between, key := make("Intermediate CA", root, rootKey)
	write("root-cert.pem", "CERTIFICATE", 0o644, root.Raw)
	write("ca-cert.pem", "CERTIFICATE", 0o644, between.Raw)
	write("cert-chain.pem", "CERTIFICATE", 0o644, between.Raw, root.Raw)
	write("ca-key.pem", "RSA PRIVATE KEY", 0o600, x509.MarshalPKCS1PrivateKey(key))
	return dir
}

// TestAMeshLeavesIstiosCA: it begins with the CA of a folder, goes on without the folder
// and the flags, and rotates away from it.
func TestAMeshLeavesIstiosCA(t *testing.T) {
	folder, dir := cacerts(t), t.TempDir()
	p := startProcess(t, dir, "--root", "imported", "--import-ca", folder)
	u := enroll(p, "web-1", true)
	p.stop()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	p = startProcess(t, dir)
	u.of = p
	if err := u.get(t.Context()); err != nil {
		t.Fatalf("renewing under the imported CA: %v", err)
	}
	now := p.until("seen", func(a *ensignv1.Authority) bool { return true })
	if s := signing(now); s.Place != "imported" || u.root() != s.Fingerprint {
		t.Errorf("%v, and the pod lives on %s", s, u.root())
	}
	dismiss := school(t, u)
	if _, err := p.admin.RotateRoot(t.Context(), &ensignv1.RotateRootRequest{Via: "builtin", Window: durationpb.New(time.Second)}); err != nil {
		t.Fatal(err)
	}
	done := p.until("completed", outcome("completed"))
	dismiss()
	leavesForGood(t, p, now.Issuer.Serial)
	if s := signing(done); s.Place != "builtin" || u.root() != s.Fingerprint {
		t.Errorf("%v, and the pod lives on %s", s, u.root())
	}
}

// leavesForGood revokes the CA that was left, which signed SVIDs itself: then no rollback
// begins that could not be gone through with.
func leavesForGood(t *testing.T, p *process, serial string) {
	t.Helper()
	if _, err := p.admin.CutOff(t.Context(), &ensignv1.CutOffRequest{Verb: "revoke", Kind: "issuer", Value: serial}); err != nil {
		t.Fatal(err)
	}
	_, err := p.admin.SteerRotation(t.Context(), &ensignv1.SteerRotationRequest{Verb: "rollback"})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "issuer "+serial+" itself, which is revoked") {
		t.Errorf("a way back to a revoked CA: %v", err)
	}
	now, err := p.admin.GetAuthority(t.Context(), &ensignv1.GetAuthorityRequest{})
	if err != nil || now.Rotation.Outcome != "completed" || now.Roots[0].Problem != "" {
		t.Errorf("%v, %v", now, err)
	}
}
