package upstream

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// root is a CA whose key this process can use. It implements [rotation.Root].
type root struct {
	key crypto.Signer
	// chain is the CA's own certificate first, the root last.
	chain []*x509.Certificate
}

// Chain implements [rotation.Root].
func (r *root) Chain() []*x509.Certificate { return slices.Clone(r.chain) }

// CertifyIssuer implements [rotation.Root]. It signs limited CAs only: of path length 0
// and with a URI name constraint, none of which outlives those above it.
func (r *root) CertifyIssuer(_ context.Context, request ca.IssuerRequest) ([]*x509.Certificate, error) {
	t := request.Template
	if t == nil || !t.IsCA || !t.MaxPathLenZero || len(t.PermittedURIDomains) == 0 {
		return nil, errors.New("a root signs only CAs of path length 0 and of one trust domain")
	}
	if r.chain[0].MaxPathLenZero {
		return nil, fmt.Errorf("signing %q by %q, of path length 0: %w: run `ensign ca rotate root`", t.Subject, r.chain[0].Subject, ca.ErrSignsNoCA)
	}
	template, now := *t, time.Now()
	for _, c := range r.chain {
		if !now.Before(c.NotAfter) {
			return nil, fmt.Errorf("root %q has expired at %s", c.Subject, c.NotAfter.UTC().Format(time.RFC3339))
		}
		if template.NotAfter.After(c.NotAfter) {
			template.NotAfter = c.NotAfter
		}
		if template.NotBefore.Before(c.NotBefore) {
			template.NotBefore = c.NotBefore
		}
	}
	cert, err := create(&template, r.chain[0], request.PublicKey, r.key)
	if err != nil {
		return nil, fmt.Errorf("signing %q: %w", t.Subject, err)
	}
	return append([]*x509.Certificate{cert}, r.chain[:len(r.chain)-1]...), nil
}

// Request implements [rotation.Root].
func (r *root) Request(context.Context) ([]byte, error) {
	template := &x509.CertificateRequest{RawSubject: r.chain[0].RawSubject}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, r.key)
	if err != nil {
		return nil, fmt.Errorf("making signing request of root %q: %w", r.chain[0].Subject, err)
	}
	return der, nil
}

func create(template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// samePublicKey compares a certificate's key with a signer's.
func samePublicKey(cert *x509.Certificate, key crypto.Signer) bool {
	public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(key.Public())
}
