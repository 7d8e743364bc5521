package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

const certificateBlock = "CERTIFICATE"

// Bundle is the set of roots that workloads trust. It is immutable.
type Bundle struct {
	roots []*x509.Certificate // sorted by DER, each once
	pem   string
	hash  string
}

// NewBundle makes a bundle of at least one CA certificate. Order and repetition
// of the roots make no difference.
func NewBundle(roots ...*x509.Certificate) (Bundle, error) {
	if len(roots) == 0 {
		return Bundle{}, errors.New("a bundle needs at least one root")
	}
	for _, r := range roots {
		if r == nil || !r.IsCA || !r.BasicConstraintsValid {
			return Bundle{}, errors.New("a bundle holds CA certificates only")
		}
	}
	sorted := slices.SortedFunc(slices.Values(roots), func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	sorted = slices.CompactFunc(sorted, (*x509.Certificate).Equal)
	sum := sha256.New()
	for _, r := range sorted {
		sum.Write(r.Raw)
	}
	return Bundle{roots: sorted, pem: encodePEM(sorted...), hash: hex.EncodeToString(sum.Sum(nil))}, nil
}

// ParseBundle reads a bundle from PEM text that holds certificates only.
func ParseBundle(text []byte) (Bundle, error) {
	var roots []*x509.Certificate
	for rest := bytes.TrimSpace(text); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != certificateBlock {
			return Bundle{}, fmt.Errorf("bundle holds something else than PEM blocks of type %s", certificateBlock)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Bundle{}, fmt.Errorf("parsing certificate %d of the bundle: %w", len(roots)+1, err)
		}
		roots = append(roots, cert)
		rest = bytes.TrimSpace(rest)
	}
	return NewBundle(roots...)
}

// Roots are the certificates, sorted by their DER.
func (b Bundle) Roots() []*x509.Certificate { return slices.Clone(b.roots) }

// Holds says whether a certificate is one of the roots.
func (b Bundle) Holds(root *x509.Certificate) bool { return slices.ContainsFunc(b.roots, root.Equal) }

// PEM is all roots, one block behind another.
func (b Bundle) PEM() string { return b.pem }

// Hash names the bundle: SHA-256 over the DER of the sorted roots, lower-case
// hex. It is the value that agents report.
func (b Bundle) Hash() string { return b.hash }

func encodePEM(certs ...*x509.Certificate) string {
	var text bytes.Buffer
	for _, c := range certs {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw}))
	}
	return text.String()
}
