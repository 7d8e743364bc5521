package rotation

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// LinkLife is the longest life of a link: an agent that was away for longer needs the
// bundle from a person.
const LinkLife = 365 * 24 * time.Hour

// LinkDomain is the one name that a link permits below it: nobody has it (RFC 2606). So a
// link says whose key follows, and is of no use to sign anything with, also to who has
// that key, and when the root of it was given up again.
const LinkDomain = "link.invalid"

// linkable says why no link leads from a root; "" if one can.
func (a *anchor) linkable(now time.Time) string {
	switch {
	case a.compromised:
		return "the root was compromised"
	case a.expired(now):
		return "the root has expired"
	case a.ca().MaxPathLenZero:
		return "the CA that signs there may certify no other CA"
	case len(a.chain) > 1:
		return "what signs there is not the root that workloads trust, but a CA below it"
	}
	return ""
}

// newLink has the root before sign the key and name of the next one's CA.
func (m *Manager) newLink(ctx context.Context, from *anchor, signer Root, to *anchor, next Root) ([]byte, error) {
	der, err := next.Request(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the new root for its request: %w", err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil || !sameKey(csr.PublicKey, to.ca().PublicKey) {
		return nil, errors.Join(errors.New("the request of the new root is not for its own key"), err)
	}
	template, err := m.linkTemplate(from, to, time.Now())
	if err != nil {
		return nil, err
	}
	chain, err := signer.CertifyIssuer(ctx, ca.IssuerRequest{Template: template, PublicKey: csr.PublicKey, CSR: der})
	if err != nil {
		return nil, fmt.Errorf("having the old root sign the link to the new one (if it is lost: roll back, and begin again with --without-link): %w", err)
	}
	if len(chain) != 1 || len(chain[0].Raw) > maxDER {
		return nil, fmt.Errorf("the link to the new root came as a chain of %d certificates", len(chain))
	}
	return chain[0].Raw, checkLink(chain[0], from, to)
}

func (m *Manager) linkTemplate(from, to *anchor, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making serial of the link: %w", err)
	}
	now = now.UTC().Truncate(time.Second)
	end := now.Add(LinkLife)
	for _, a := range []*anchor{from, to} {
		if a.notAfter().Before(end) {
			end = a.notAfter()
		}
	}
	return &x509.Certificate{
		SerialNumber:                serial.Add(serial, big.NewInt(1)), // never zero
		Subject:                     to.ca().Subject,
		RawSubject:                  to.ca().RawSubject,
		NotBefore:                   now.Add(-ca.Backdate),
		NotAfter:                    end,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true, // the whole name constraint
		PermittedDNSDomains:         []string{LinkDomain},
		PermittedURIDomains:         []string{LinkDomain},
	}, nil
}

// checkLink wants a certificate of the next root's CA, signed by the root before it.
func checkLink(cert *x509.Certificate, from, to *anchor) error {
	switch err := cert.CheckSignatureFrom(from.ca()); {
	case err != nil:
		return fmt.Errorf("the link from root %.12s to %.12s is not signed by the first: %w", from.fingerprint, to.fingerprint, err)
	case !cert.IsCA || !cert.BasicConstraintsValid || !cert.MaxPathLenZero:
		return errors.New("the link to the new root is not a CA of path length 0")
	case !cert.PermittedDNSDomainsCritical || !slices.Equal(cert.PermittedURIDomains, []string{LinkDomain}) || !slices.Equal(cert.PermittedDNSDomains, []string{LinkDomain}):
		return fmt.Errorf("the link to the new root permits the names %q and %q below it, must permit %s alone, critical", cert.PermittedURIDomains, cert.PermittedDNSDomains, LinkDomain)
	case !sameKey(cert.PublicKey, to.ca().PublicKey) || cert.Subject.String() != to.ca().Subject.String():
		return fmt.Errorf("the link is for %q, and not for the new root's key and name %q", cert.Subject, to.ca().Subject)
	}
	return nil
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
