package federation

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"

	"github.com/ensign-mesh/ensign/ca"
)

// maxFile is the most that is read of either file; a long chain has 20 KiB.
const maxFile = 1 << 20

// Files are a certificate chain and its key in PEM, by the profile https_web. They are
// read again and again, so that whoever renews them restarts nothing.
type Files struct {
	certFile, keyFile string
	cert, key         []byte // as they were read last
	current           *tls.Certificate
}

// NewFiles names the two files; nothing is read yet.
func NewFiles(certFile, keyFile string) *Files { return &Files{certFile: certFile, keyFile: keyFile} }

// Certificate implements [Certificates]. Files that do not fit together, as they are
// while somebody replaces them, leave the certificate before in its place.
func (f *Files) Certificate(context.Context, ca.Bundle) (*tls.Certificate, error) {
	cert, err := readLimited(f.certFile, 0)
	if err != nil {
		return f.current, fmt.Errorf("reading the certificate of the bundle endpoint: %w", err)
	}
	key, err := readLimited(f.keyFile, 0o007)
	if err != nil {
		return f.current, fmt.Errorf("reading the key of the bundle endpoint: %w", err)
	}
	if f.current != nil && bytes.Equal(cert, f.cert) && bytes.Equal(key, f.key) {
		return f.current, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return f.current, fmt.Errorf("loading %s with the key of %s: %w: both must be PEM, the certificate first in its chain, and belong together", f.certFile, f.keyFile, err)
	}
	f.cert, f.key, f.current = cert, key, &pair
	return f.current, nil
}

// readLimited reads a small regular file that has none of the forbidden permissions.
func readLimited(path string, forbidden os.FileMode) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Mode().Perm()&forbidden != 0 {
		return nil, fmt.Errorf("%s has mode %04o: run `chmod o= %s`", path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	return text, err
}
