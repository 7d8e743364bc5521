package sds

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Limits on a set of CRLs: 1 MiB names some 25,000 certificates.
const (
	maxCRLBytes = 1 << 20
	maxCRLs     = 256
	// A CRL goes out of use so long before it ends: that is the time to get Envoy off it.
	crlMargin = time.Second
)

// The extensions that Envoy's library knows what to do with. For any other it may
// refuse every certificate of that issuer.
var (
	knownListExtensions  = map[string]bool{"2.5.29.20": true, "2.5.29.35": true} // CRL number, authority key identifier
	knownEntryExtensions = map[string]bool{"2.5.29.21": true}                    // reason
)

// crlSet is what Envoy is to check its peers against: one CRL for each issuer, or
// none at all. It is immutable.
type crlSet struct {
	// revision is the control plane's number of the set.
	revision uint64
	lists    []*x509.RevocationList
	// version is the hash of all lists; "" if there is none.
	version string
	// ends is when the first of them goes out of use; zero if there is none.
	ends time.Time
	// problem is why none of them is in force; "" if all are.
	problem string
}

// newCRLSet reads a set. On any doubt the whole set is left out: Envoy refuses
// everybody of an issuer whose CRL is missing, old or odd, so that half a set
// would be an outage for people who are not revoked.
func newCRLSet(revision uint64, lists [][]byte, now time.Time) *crlSet {
	set := &crlSet{revision: revision}
	if err := set.read(lists, now); err != nil {
		return set.without(err)
	}
	return set
}

// without is the set with nothing in force, for a reason.
func (c *crlSet) without(reason error) *crlSet {
	return &crlSet{revision: c.revision, problem: cutText(reason.Error())}
}

func (c *crlSet) read(lists [][]byte, now time.Time) error {
	size := 0
	for _, der := range lists {
		size += len(der)
	}
	if size > maxCRLBytes || len(lists) > maxCRLs {
		return fmt.Errorf("%d CRLs of %d bytes in all, at most %d of at most %d are taken", len(lists), size, maxCRLs, maxCRLBytes)
	}
	hash, issuers := sha256.New(), map[string]bool{}
	for i, der := range lists {
		list, err := parseCRL(der, now)
		if err != nil {
			return fmt.Errorf("reading CRL %d of %d: %w", i+1, len(lists), err)
		}
		if issuers[string(list.RawIssuer)] {
			return fmt.Errorf("there are two CRLs of %q", list.Issuer)
		}
		issuers[string(list.RawIssuer)] = true
		if ends := list.NextUpdate.Add(-crlMargin); c.ends.IsZero() || ends.Before(c.ends) {
			c.ends = ends
		}
		// Only the bytes are needed from here on, and what tells whose they are.
		list.RevokedCertificateEntries, list.RevokedCertificates = nil, nil //nolint:staticcheck // the second is filled too
		c.lists = append(c.lists, list)
		hash.Write(der)
	}
	if len(lists) > 0 {
		c.version = hex.EncodeToString(hash.Sum(nil))
	}
	return nil
}

func parseCRL(der []byte, now time.Time) (*x509.RevocationList, error) {
	list, err := x509.ParseRevocationList(der)
	switch {
	case err != nil:
		return nil, err
	case len(list.Raw) != len(der):
		return nil, fmt.Errorf("the one of %q has %d bytes too many", list.Issuer, len(der)-len(list.Raw))
	case list.NextUpdate.IsZero():
		return nil, fmt.Errorf("the one of %q does not say when it ends", list.Issuer)
	case !now.Before(list.NextUpdate.Add(-crlMargin)):
		return nil, fmt.Errorf("the one of %q ends at %s", list.Issuer, utc(list.NextUpdate))
	case now.Before(list.ThisUpdate):
		return nil, fmt.Errorf("the one of %q begins at %s: is this machine's clock, %s, right?", list.Issuer, utc(list.ThisUpdate), utc(now))
	}
	for _, extension := range list.Extensions {
		if !knownListExtensions[extension.Id.String()] {
			return nil, unknownExtension(list, extension.Id)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, extension := range entry.Extensions {
			if !knownEntryExtensions[extension.Id.String()] {
				return nil, unknownExtension(list, extension.Id)
			}
		}
	}
	return list, nil
}

func unknownExtension(list *x509.RevocationList, id asn1.ObjectIdentifier) error {
	return fmt.Errorf("the one of %q has extension %s, which Envoy may not know", list.Issuer, id)
}

// contradicted checks the lists of those issuers that we happen to know: others'
// issuers are theirs to know.
func (c *crlSet) contradicted(known []*x509.Certificate) error {
	for _, list := range c.lists {
		var wrong error
		for _, issuer := range known {
			if !bytes.Equal(issuer.RawSubject, list.RawIssuer) {
				continue
			}
			if wrong = signedBy(list, issuer); wrong == nil {
				break
			}
		}
		if wrong != nil {
			return fmt.Errorf("checking the CRL of %q: %w", list.Issuer, wrong)
		}
	}
	return nil
}

func signedBy(list *x509.RevocationList, issuer *x509.Certificate) error {
	if len(list.AuthorityKeyId) > 0 && !bytes.Equal(list.AuthorityKeyId, issuer.SubjectKeyId) {
		return errors.New("it names another key than the issuer's")
	}
	return list.CheckSignatureFrom(issuer)
}

// pem is how Envoy wants them; nil without any.
func (c *crlSet) pem() []byte {
	var text bytes.Buffer
	for _, list := range c.lists {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list.Raw}))
	}
	return text.Bytes()
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }
