package revocation

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

// MaxSetSize bounds the CRLs of a set together, in bytes: agents take no more. It is
// enough for some 25,000 certificates.
const MaxSetSize = 1 << 20

// maxFile bounds what is read of a file.
const maxFile = 2 * MaxSetSize

// shelf is the folder of CRLs. For each issuer it has SERIAL.pem, its certificate, which
// is written before SERIAL.crl, and deleted after it. Both are PEM.
type shelf struct{ dir string }

func openShelf(dir string) (shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return shelf{}, fmt.Errorf("making the folder of CRLs: %w", err)
	}
	return shelf{dir}, durable.Sweep(dir)
}

func (s shelf) path(name string) string { return filepath.Join(s.dir, name) }

// issuer reads the certificate of an issuer of the ledger, and believes it if it is that one.
func (s shelf) issuer(e ca.Entry) (*x509.Certificate, error) {
	cert, err := s.certificate(e.Serial)
	if err != nil {
		return nil, err
	}
	if ca.Fingerprint(cert) != e.Certificate {
		return nil, fmt.Errorf("%s is not the certificate that the ledger has: restore it from a backup", s.path(e.Serial+".pem"))
	}
	return cert, nil
}

func (s shelf) certificate(serial string) (*x509.Certificate, error) {
	path := s.path(serial + ".pem")
	der, err := readPEM(path, "CERTIFICATE")
	if err != nil {
		return nil, fmt.Errorf("reading certificate of issuer %s: %w", serial, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading certificate of issuer %s: %s: %w", serial, path, err)
	}
	return cert, nil
}

// crl reads the CRL of an issuer, and believes it if it may be shown to a proxy.
func (s shelf) crl(issuer *x509.Certificate, now time.Time) (*x509.RevocationList, error) {
	path := s.path(serialOf(issuer) + ".crl")
	der, err := readPEM(path, "X509 CRL")
	if err != nil {
		return nil, fmt.Errorf("reading a CRL: %w", err)
	}
	crl, err := checkCRL(der, issuer, now)
	if err != nil {
		return nil, fmt.Errorf("reading a CRL: %s: %w", path, err)
	}
	return crl, nil
}

func (s shelf) keepIssuer(cert *x509.Certificate) error {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	return durable.WriteFile(s.path(serialOf(cert)+".pem"), text, 0o600)
}

func (s shelf) keepCRL(issuer *x509.Certificate, der []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	return durable.WriteFile(s.path(serialOf(issuer)+".crl"), text, 0o600)
}

// tidy deletes what is of issuers that have expired. What cannot be read stays.
func (s shelf) tidy(now time.Time) error {
	found, err := filepath.Glob(s.path("*.pem"))
	if err != nil {
		return fmt.Errorf("tidying the CRLs: %w", err)
	}
	var errs []error
	for _, path := range found {
		serial := strings.TrimSuffix(filepath.Base(path), ".pem")
		cert, err := s.certificate(serial)
		if err != nil || !now.After(cert.NotAfter) {
			continue
		}
		if err := os.Remove(s.path(serial + ".crl")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("tidying the CRLs: %w", err))
			continue
		}
		if err := os.Remove(path); err != nil {
			errs = append(errs, fmt.Errorf("tidying the CRLs: %w", err))
		}
	}
	return errors.Join(errs...)
}

// mark is what the next process must know of the set in force.
type mark struct {
	// Revision of the set, and the SHA-256 of its CRLs, lower-case hex.
	Revision uint64 `json:"revision"`
	CRLs     string `json:"crls"`
}

const markFile = "set.json"

// mark reads it; the zero mark, and an error that says why, if there is none to be read.
func (s shelf) mark() (mark, error) {
	text, err := readFile(s.path(markFile))
	if err != nil {
		return mark{}, err
	}
	var m mark
	if err := json.Unmarshal(text, &m); err != nil {
		return mark{}, fmt.Errorf("%s: %w", s.path(markFile), err)
	}
	return m, nil
}

func (s shelf) keepMark(m mark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding the revision of the CRLs: %w", err)
	}
	return durable.WriteFile(s.path(markFile), text, 0o600)
}

// readPEM reads a file of exactly one block.
func readPEM(path, kind string) ([]byte, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(rest) != 0 {
		return nil, fmt.Errorf("%s is not one PEM block %q", path, kind)
	}
	return block.Bytes, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return text, err
}

// serialOf is the form of the ledger.
func serialOf(cert *x509.Certificate) string { return cert.SerialNumber.Text(16) }
