package vault

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
)

const caUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign

// checkSigned refuses what does not lead to this root, or is not what was asked for.
func (r *root) checkSigned(cert *x509.Certificate, request ca.IssuerRequest) error {
	if parentOf(cert, r.chain[:1]) == nil {
		return fmt.Errorf("%w: its issuer %s is %q now, and was %q of serial %x: if vault's root was replaced, bring the mesh to it by a rotation of the root; "+
			"else give the issuer's name back to it", ErrOtherRoot, r.name, cert.Issuer, r.chain[0].Subject, r.chain[0].SerialNumber)
	}
	asked := request.Template
	key, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case !ok || !key.Equal(request.PublicKey):
		return fmt.Errorf("%w: the certificate is for another key", ErrAnswer)
	case cert.Subject.String() != asked.Subject.String():
		return fmt.Errorf("%w: the certificate's subject is %q, asked for %q", ErrAnswer, cert.Subject, asked.Subject)
	case cert.NotAfter.After(asked.NotAfter):
		return fmt.Errorf("%w: the certificate ends at %s, asked for %s", ErrAnswer,
			cert.NotAfter.UTC().Format(time.RFC3339), asked.NotAfter.UTC().Format(time.RFC3339))
	case cert.NotBefore.Before(asked.NotBefore.Add(-maxLeeway)):
		return fmt.Errorf("%w: the certificate is valid from %s: the clocks of vault and of this machine are apart, or it is an old one",
			ErrAnswer, cert.NotBefore.UTC().Format(time.RFC3339))
	case !cert.MaxPathLenZero:
		return fmt.Errorf("%w: the certificate may sign further CAs", ErrAnswer)
	}
	return checkLimits(cert, asked.PermittedURIDomains, asked.PermittedDNSDomains)
}

// checkMade refuses a root that is not as [Place.Make] asks for it. What a person put
// under an outside root is limited by that one's owner.
func checkMade(chain []*x509.Certificate, name string, td spiffeid.TrustDomain, now time.Time) error {
	if err := checkCAs(chain, td, now); err != nil {
		return err
	}
	cert := chain[0]
	switch {
	case cert.Subject.CommonName != rootPrefix+name || !slices.Equal(cert.Subject.Organization, []string{td.Name()}):
		return fmt.Errorf("%w: issuer %s is %q: sign it with the common name %q and the organization %q", ErrAnswer, name, cert.Subject, rootPrefix+name, td.Name())
	case len(chain) > 1:
		return nil
	case cert.MaxPathLen != 1:
		return fmt.Errorf("%w: root %q is not limited to path length 1", ErrAnswer, cert.Subject)
	}
	return checkLimits(cert, []string{td.Name()}, nil)
}

// checkLimits is what holds for each CA that is made for Ensign: below it are names of
// these domains only.
func checkLimits(cert *x509.Certificate, uris, dns []string) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return fmt.Errorf("%w: %q is no CA", ErrAnswer, cert.Subject)
	case len(cert.DNSNames)+len(cert.EmailAddresses)+len(cert.IPAddresses)+len(cert.URIs) > 0:
		return fmt.Errorf("%w: CA %q has names of its own (SAN)", ErrAnswer, cert.Subject)
	case cert.KeyUsage != caUsage || len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0:
		return fmt.Errorf("%w: CA %q is for other uses than signing certificates and CRLs", ErrAnswer, cert.Subject)
	case !cert.PermittedDNSDomainsCritical || !slices.Equal(cert.PermittedURIDomains, uris) || !slices.Equal(cert.PermittedDNSDomains, dns):
		return fmt.Errorf("%w: CA %q is limited to %q and %q, must be to %q and %q, critical", ErrAnswer, cert.Subject, cert.PermittedURIDomains, cert.PermittedDNSDomains, uris, dns)
	}
	return nil
}

// checkCAs refuses a chain that no issuer can be signed with today.
func checkCAs(chain []*x509.Certificate, td spiffeid.TrustDomain, now time.Time) error {
	for _, c := range chain {
		if now.Before(c.NotBefore) || !now.Before(c.NotAfter) {
			return fmt.Errorf("%w: CA %q is valid %s to %s", ErrAnswer, c.Subject, c.NotBefore, c.NotAfter)
		}
	}
	if !chain[0].IsCA || chain[0].MaxPathLenZero {
		return fmt.Errorf("%w: %q may not sign issuers: it needs a path length of 1 or more", ErrAnswer, chain[0].Subject)
	}
	if _, err := ca.NewBundle(chain[len(chain)-1]); err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return checkScope(chain, td)
}

// checkClimb demands a chain up to a root that signs itself.
func checkClimb(chain []*x509.Certificate) error {
	if len(chain) == 0 || len(chain) > maxChain {
		return fmt.Errorf("its chain has %d certificates, must have 1 to %d", len(chain), maxChain)
	}
	for n, c := range chain {
		above := chain[min(n+1, len(chain)-1)]
		if !bytes.Equal(c.RawIssuer, above.RawSubject) || c.CheckSignatureFrom(above) != nil {
			return fmt.Errorf("%q of its chain is not signed by %q", c.Subject, above.Subject)
		}
	}
	return nil
}

// checkScope refuses CAs whose name constraints leave the trust domain out: they
// sign issuers all the same, and then no SVID verifies.
func checkScope(cas []*x509.Certificate, td spiffeid.TrustDomain) error {
	for _, c := range cas {
		if len(c.PermittedURIDomains) > 0 && !covers(c.PermittedURIDomains, td.Name()) || covers(c.ExcludedURIDomains, td.Name()) {
			return fmt.Errorf("%w: CA %q may not sign for trust domain %s (permitted %q, excluded %q)",
				ErrAnswer, c.Subject, td.Name(), c.PermittedURIDomains, c.ExcludedURIDomains)
		}
	}
	return nil
}

// covers says whether a URI name constraint holds for a host (RFC 5280 §4.2.1.10):
// with a dot in front for all below, else for that host alone.
func covers(constraints []string, host string) bool {
	for _, c := range constraints {
		if strings.EqualFold(c, host) || (strings.HasPrefix(c, ".") && strings.HasSuffix(strings.ToLower(host), strings.ToLower(c))) {
			return true
		}
	}
	return false
}
