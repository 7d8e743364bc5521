package ca

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// CRLOverlap is how long a CRL outlives its issuer. Who holds CRLs of several issuers
// gives all up when one ends: so the end of an issuer, whose CRL is soon left out,
// never takes the others out of force.
const CRLOverlap = time.Hour

// Introduced is the certificate of an issuer, by its serial (lower-case hex), that may
// have signed SVIDs and whose key is kept; nil if there is none.
func (s *Service) Introduced(issuerSerial string) *x509.Certificate {
	if kept, ok := s.keys.find(issuerSerial); ok && kept.Introduced {
		return kept.Chain[0]
	}
	return nil
}

// SignCRL signs a CRL (DER) of an issuer that has not expired, in force or not,
// by its serial (lower-case hex). It is valid for [CRLOverlap]
// longer than the issuer. The number is
// positive and must grow from one CRL of the issuer to the next. Errors wrap
// [ErrIssuerKeyGone], or [ErrNoCRL].
func (s *Service) SignCRL(issuerSerial string, number *big.Int, revoked []x509.RevocationListEntry) ([]byte, error) {
	now := time.Now()
	kept, ok := s.keys.find(issuerSerial)
	if !ok || !now.Before(kept.Chain[0].NotAfter) {
		return nil, fmt.Errorf("%w: issuer %s", ErrIssuerKeyGone, issuerSerial)
	}
	cert := kept.Chain[0]
	if kept.Remote {
		return nil, fmt.Errorf("%w: the key of %s is elsewhere: who is revoked is refused by denial, and agents cut them; rotate the root to one whose issuers sign here, then revoke issuer %s, to have CRLs", ErrNoCRL, cert.Subject, issuerSerial)
	}
	if cert.KeyUsage&x509.KeyUsageCRLSign == 0 {
		// Signed all the same it would be refused, and every leaf of the issuer with it.
		return nil, fmt.Errorf("%w: the certificate of imported CA %s lacks the key usage cRLSign: rotate the root, then revoke issuer %s", ErrNoCRL, cert.Subject, issuerSerial)
	}
	// Backdated as leaves are: a peer whose clock is behind would take a CRL of
	// the future for none, and refuse everybody.
	from := now.UTC().Truncate(time.Second).Add(-Backdate)
	if from.Before(cert.NotBefore) {
		from = cert.NotBefore
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: number, ThisUpdate: from, NextUpdate: cert.NotAfter.Add(CRLOverlap), RevokedCertificateEntries: revoked,
	}, cert, kept.Key)
	if err != nil {
		return nil, fmt.Errorf("signing CRL of issuer %s: %w", issuerSerial, err)
	}
	return der, nil
}
