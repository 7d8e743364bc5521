package revocation

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// checkCRL believes a CRL if a proxy that has it would serve everybody of the issuer who
// is not listed, to the issuer's last second and [ca.CRLOverlap] longer.
func checkCRL(der []byte, issuer *x509.Certificate, now time.Time) (*x509.RevocationList, error) {
	crl, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(crl.RawIssuer, issuer.RawSubject) {
		return nil, fmt.Errorf("is a CRL of %q, not of %q", crl.Issuer, issuer.Subject)
	}
	if err := crl.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("is not signed by %q: %w", issuer.Subject, err)
	}
	if crl.Number == nil || crl.Number.Sign() < 0 {
		return nil, fmt.Errorf("has no number")
	}
	if crl.ThisUpdate.After(now) {
		return nil, fmt.Errorf("starts in the future, at %s: compare the clocks", crl.ThisUpdate.UTC().Format(time.RFC3339))
	}
	if end := issuer.NotAfter.Add(ca.CRLOverlap); !crl.NextUpdate.Equal(end) {
		return nil, fmt.Errorf("ends at %s and not, %s after its issuer, at %s", crl.NextUpdate.UTC().Format(time.RFC3339), ca.CRLOverlap, end.UTC().Format(time.RFC3339))
	}
	for _, extension := range crl.Extensions {
		// A delta, or a CRL of some certificates only, would let others through.
		if extension.Critical {
			return nil, fmt.Errorf("has the critical extension %s", extension.Id)
		}
	}
	return crl, nil
}

// listed are the entries of one issuer's CRL, by serial.
func listed(l *List, issuerSerial string) []x509.RevocationListEntry {
	at := map[uint64]time.Time{}
	for _, a := range l.Acts {
		at[a.Index] = a.Time
	}
	entries := []x509.RevocationListEntry{}
	for _, c := range l.Certificates {
		serial, ok := new(big.Int).SetString(c.Serial, 16)
		if c.IssuerSerial == issuerSerial && ok {
			entries = append(entries, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: at[c.Act]})
		}
	}
	slices.SortFunc(entries, func(a, b x509.RevocationListEntry) int { return a.SerialNumber.Cmp(b.SerialNumber) })
	return entries
}

// lists says whether a CRL lists exactly these.
func lists(crl *x509.RevocationList, entries []x509.RevocationListEntry) bool {
	return slices.EqualFunc(crl.RevokedCertificateEntries, entries, func(a, b x509.RevocationListEntry) bool {
		return a.SerialNumber.Cmp(b.SerialNumber) == 0
	})
}

// without are the serials of some entries, in hex, that others do not have.
func without(entries, others []x509.RevocationListEntry) []string {
	has := map[string]bool{}
	for _, e := range others {
		has[e.SerialNumber.Text(16)] = true
	}
	var found []string
	for _, e := range entries {
		if serial := e.SerialNumber.Text(16); !has[serial] {
			found = append(found, serial)
		}
	}
	return found
}

// numberAfter is the number of the CRL that follows one, or none: it grows even if all
// earlier ones are lost.
func numberAfter(crl *x509.RevocationList, now time.Time) *big.Int {
	number := big.NewInt(max(now.Unix(), 1))
	if crl == nil {
		return number
	}
	following := new(big.Int).Add(crl.Number, big.NewInt(1))
	if following.Cmp(number) > 0 {
		return following
	}
	return number
}
