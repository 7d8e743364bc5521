package upstream

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/ensign-mesh/ensign/ca"
)

// readCertificate reads the one CA certificate of a file.
func readCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading root certificate: %w", err)
	}
	bundle, err := ca.ParseBundle(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	roots := bundle.Roots()
	if len(roots) != 1 {
		return nil, fmt.Errorf("%s holds %d certificates, not the one root: restore it from a backup", path, len(roots))
	}
	return roots[0], nil
}
