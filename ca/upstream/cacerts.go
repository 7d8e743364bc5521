package upstream

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
)

// Files of a folder to import, as Istio calls them in its secret cacerts.
const (
	caCertFile = "ca-cert.pem"
	caKeyFile  = "ca-key.pem"
	chainFile  = "cert-chain.pem"
	rootFile   = "root-cert.pem"
)

// Bounds of what is read.
const (
	maxFile  = 256 << 10
	maxCerts = 8
)

// cacerts is a CA from elsewhere.
type cacerts struct {
	key crypto.Signer
	// chain is the CA's own certificate first, the root last.
	chain []*x509.Certificate
}

func (c *cacerts) root() *x509.Certificate { return c.chain[len(c.chain)-1] }

// readFolder reads the four files, in which the chain from CA to root stands.
func readFolder(dir string) (*cacerts, error) {
	key, err := readKey(filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, err
	}
	var certs [3][]*x509.Certificate
	for i, name := range []string{caCertFile, chainFile, rootFile} {
		text, _, err := readBounded(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if certs[i], err = parseCertificates(text); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
	}
	own, between, roots := certs[0], certs[1], certs[2]
	if len(own) != 1 {
		return nil, fmt.Errorf("%s holds %d certificates, not the CA's one", caCertFile, len(own))
	}
	if len(roots) != 1 {
		return nil, fmt.Errorf("%s holds %d certificates: Ensign imports one root: leave the one that %s leads to, when nobody lives on the others any more", rootFile, len(roots), caCertFile)
	}
	if roots[0].CheckSignatureFrom(roots[0]) != nil {
		return nil, fmt.Errorf("%q in %s is not signed by itself: put the root there", roots[0].Subject, rootFile)
	}
	chain, err := climb(own[0], between, roots[0])
	if err != nil {
		return nil, err
	}
	return &cacerts{key: key, chain: chain}, nil
}

// climb is the chain from a CA to its root.
func climb(cert *x509.Certificate, between []*x509.Certificate, root *x509.Certificate) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{cert}
	for !cert.Equal(root) {
		next := slices.IndexFunc(append([]*x509.Certificate{root}, between...), func(c *x509.Certificate) bool {
			return !slices.ContainsFunc(chain, c.Equal) && cert.CheckSignatureFrom(c) == nil
		})
		if next < 0 || len(chain) == maxCerts {
			return nil, fmt.Errorf("%s does not lead to %q of %s: nothing in %s has signed %q", caCertFile, root.Subject, rootFile, chainFile, cert.Subject)
		}
		if cert = root; next > 0 {
			cert = between[next-1]
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

// check says whether this CA can carry a mesh of this trust domain.
func (c *cacerts) check(td spiffeid.TrustDomain, now time.Time) error {
	if !samePublicKey(c.chain[0], c.key) {
		return fmt.Errorf("%s is not the key of %s", caKeyFile, caCertFile)
	}
	if err := checkImportedKey(c.chain[0].PublicKey); err != nil {
		return err
	}
	if len(c.chain[0].SubjectKeyId) == 0 {
		return fmt.Errorf("%s has no subject key identifier, so that leaves cannot point at it: have it signed again with one", caCertFile)
	}
	if len(c.chain) == 1 && c.chain[0].MaxPathLenZero {
		return fmt.Errorf("%s is the root itself, of path length 0: it could only be root and issuer in one, which is not imported; use `--root builtin`", caCertFile)
	}
	for below, cert := range c.chain {
		if err := checkAncestor(cert, below, c.chain[0].MaxPathLenZero, td, now); err != nil {
			return fmt.Errorf("CA %q: %w", cert.Subject, err)
		}
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(c.root())
	for _, cert := range c.chain {
		between.AddCert(cert)
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := c.chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			return fmt.Errorf("%s does not verify under %s: %w", caCertFile, rootFile, err)
		}
	}
	return nil
}

// checkAncestor looks at one CA of the chain, below which stand so many others, and an
// issuer of ours unless the first of them signs leaves itself.
func checkAncestor(cert *x509.Certificate, below int, direct bool, td spiffeid.TrustDomain, now time.Time) error {
	if !direct {
		below++
	}
	switch {
	case now.Before(cert.NotBefore) || !now.Before(cert.NotAfter):
		return fmt.Errorf("it is valid %s to %s: not now", cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
	case !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("it is not a CA that may sign certificates")
	case cert.MaxPathLen >= 0 && cert.MaxPathLen < below:
		return fmt.Errorf("its path length of %d is too short for %d CAs below it", cert.MaxPathLen, below)
	case len(cert.PermittedURIDomains) > 0 && !slices.Contains(cert.PermittedURIDomains, td.Name()), len(cert.ExcludedURIDomains) > 0:
		return fmt.Errorf("its name constraints (permitted %q, excluded %q) are not those of trust domain %s", cert.PermittedURIDomains, cert.ExcludedURIDomains, td.Name())
	}
	for _, uri := range cert.URIs {
		if id, err := spiffeid.FromURI(uri); err != nil || id.TrustDomain() != td {
			return fmt.Errorf("it bears the name %.300q, which is not of trust domain %s", uri, td.Name())
		}
	}
	return nil
}

// checkImportedKey allows what Envoy and this CA can use, and nothing weaker.
func checkImportedKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits >= 2048 && bits <= 8192 {
			return nil
		}
	}
	return errors.New("its key is neither ECDSA P-256 or P-384 nor RSA of 2048 to 8192 bits")
}

// readKey reads a private key that only its owner can read.
func readKey(path string) (crypto.Signer, error) {
	text, mode, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	if mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read %s (mode %04o): run `chmod 600 %s`, and ask yourself who has read it", path, mode.Perm(), path)
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return key, nil
}

// parseKey reads the one private key of a PEM text. What it says is in no error.
func parseKey(text []byte) (crypto.Signer, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		var err error
		switch block.Type {
		case "EC PARAMETERS":
			continue
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			return nil, fmt.Errorf("it holds a PEM block of type %.40q, not a private key in clear", block.Type)
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("it does not hold one private key in clear and nothing else")
		}
		return signer, nil
	}
	return nil, errors.New("it holds no PEM block")
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	bundle, err := ca.ParseBundle(text)
	if err != nil {
		return nil, err
	}
	if n := len(bundle.Roots()); n > maxCerts {
		return nil, fmt.Errorf("%d certificates, at most %d are allowed", n, maxCerts)
	}
	return bundle.Roots(), nil
}

func readBounded(path string) ([]byte, os.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, 0, fmt.Errorf("%s is not a file of at most %d bytes", path, maxFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	return text, info.Mode(), err
}
