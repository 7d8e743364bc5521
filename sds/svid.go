package sds

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"log/slog"
	"math/big"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// SVID is one workload certificate, its key, and the roots that came with it.
// It is immutable.
type SVID struct {
	// ID is the one URI SAN of the leaf.
	ID spiffeid.ID
	// Chain is the leaf, then its issuers, without a root. Never empty.
	Chain []*x509.Certificate
	// Roots is what the workload is to trust, in the order they came. Never empty.
	Roots []*x509.Certificate
	// Received is when the answer was accepted, by this machine's clock.
	Received time.Time

	key *ecdsa.PrivateKey
}

// Leaf is the workload's own certificate.
func (s *SVID) Leaf() *x509.Certificate { return s.Chain[0] }

// Serial is the leaf's serial number in lower-case hex.
func (s *SVID) Serial() string { return SerialText(s.Leaf().SerialNumber) }

// Fingerprint is the SHA-256 of the leaf, in lower-case hex.
func (s *SVID) Fingerprint() string { return fingerprint(s.Leaf().Raw) }

// Bundle is the BundleHash of the roots.
func (s *SVID) Bundle() string { return BundleHash(s.Roots) }

// Expires is when the first certificate of the chain ends.
func (s *SVID) Expires() time.Time {
	end := s.Leaf().NotAfter
	for _, issuer := range s.Chain[1:] {
		if issuer.NotAfter.Before(end) {
			end = issuer.NotAfter
		}
	}
	return end
}

// Live says whether no certificate of the chain has expired at now.
func (s *SVID) Live(now time.Time) bool { return now.Before(s.Expires()) }

// TLSCertificate is the chain and key for Go's TLS.
func (s *SVID) TLSCertificate() tls.Certificate {
	cert := tls.Certificate{PrivateKey: s.key, Leaf: s.Leaf()}
	for _, c := range s.Chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert
}

// String is the ID and the serial, so that no way of printing shows the key.
func (s *SVID) String() string { return s.ID.String() + " serial " + s.Serial() }

// GoString is String, for %#v.
func (s *SVID) GoString() string { return s.String() }

// LogValue is what a log may show.
func (s *SVID) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", s.ID.String()), slog.String("serial", s.Serial()),
		slog.Time("expires", s.Expires()), slog.String("bundle", s.Bundle()))
}

// MarshalJSON keeps the key out of JSON too.
func (s *SVID) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// SerialText writes a serial number as lower-case hex without leading zeros.
func SerialText(serial *big.Int) string { return serial.Text(16) }

// BundleHash is the SHA-256 over the sorted DERs of the roots, one after the
// other, in lower-case hex: the name of a bundle in reports and gates. A root
// that is there twice counts once.
func BundleHash(roots []*x509.Certificate) string {
	ders := make([][]byte, 0, len(roots))
	for _, root := range roots {
		ders = append(ders, root.Raw)
	}
	slices.SortFunc(ders, bytes.Compare)
	hash := sha256.New()
	for _, der := range slices.CompactFunc(ders, bytes.Equal) {
		hash.Write(der)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}
