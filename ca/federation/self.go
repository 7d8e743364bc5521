package federation

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

const (
	// selfLife is how long the endpoint's SVID lives; it is replaced at half of it.
	selfLife = 24 * time.Hour
	// retryAfter is how soon another is asked for when one could not be used.
	retryAfter = time.Minute
)

// Issuer makes the endpoint's SVID; [ca.Service] is one.
type Issuer interface {
	IssueBundleEndpoint(ctx context.Context, csr ca.CSR, life time.Duration) (ca.Issued, error)
}

// Self is an SVID of the mesh itself, by the profile https_spiffe. Its key is in memory only.
type Self struct {
	issuer  Issuer
	current *tls.Certificate
	// problem is why the last attempt led to nothing, until next.
	problem error
	next    time.Time
}

// NewSelf asks for nothing yet.
func NewSelf(issuer Issuer) *Self { return &Self{issuer: issuer} }

// Certificate implements [Certificates]. The SVID is replaced at half of its life, and
// as soon as it does not lead to a trusted root: not as soon as another root signs.
func (s *Self) Certificate(ctx context.Context, trusted ca.Bundle) (*tls.Certificate, error) {
	now := time.Now()
	if s.current != nil && now.Before(half(s.current.Leaf)) && leads(s.current, trusted, now) == nil {
		return s.current, nil
	}
	if s.problem != nil && now.Before(s.next) {
		return s.current, s.problem
	}
	var made *tls.Certificate
	if made, s.problem = s.make(ctx, trusted, now); s.problem != nil {
		s.next = now.Add(retryAfter)
		return s.current, s.problem
	}
	s.current = made
	return made, nil
}

func (s *Self) make(ctx context.Context, trusted ca.Bundle, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the bundle endpoint's key: %w", err)
	}
	csr, err := ca.NewCSR(key)
	if err != nil {
		return nil, err
	}
	issued, err := s.issuer.IssueBundleEndpoint(ctx, csr, selfLife)
	if err != nil {
		return nil, fmt.Errorf("issuing the bundle endpoint's SVID: %w", err)
	}
	made := &tls.Certificate{Certificate: [][]byte{issued.Leaf.Raw}, PrivateKey: key, Leaf: issued.Leaf}
	for _, i := range issued.Issuers {
		made.Certificate = append(made.Certificate, i.Raw)
	}
	if err := leads(made, trusted, now); err != nil {
		return nil, fmt.Errorf("the bundle endpoint's new SVID leads to no trusted root: %w", err)
	}
	return made, nil
}

// half is when half of a certificate's life is over.
func half(leaf *x509.Certificate) time.Time {
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
}

// leads is nil if a client that trusts these roots takes the certificate now.
func leads(certificate *tls.Certificate, trusted ca.Bundle, now time.Time) error {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, root := range trusted.Roots() {
		options.Roots.AddCert(root)
	}
	for _, der := range certificate.Certificate[1:] {
		issuer, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("parsing an issuer of the bundle endpoint's SVID: %w", err)
		}
		options.Intermediates.AddCert(issuer)
	}
	_, err := certificate.Leaf.Verify(options)
	return err
}
