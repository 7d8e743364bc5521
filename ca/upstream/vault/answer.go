package vault

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
)

// maxChain is how many certificates a chain may hold.
const maxChain = 8

// signedChain reads the answer of sign-intermediate: the issuer first, no root.
func signedChain(data map[string]any) ([]*x509.Certificate, error) {
	all, err := chainOf(data)
	if err != nil {
		return nil, err
	}
	return all[:len(all)-1], nil
}

// chainOf reads certificate and ca_chain, and puts them into order: each signed by
// the next, the last by itself.
func chainOf(data map[string]any) ([]*x509.Certificate, error) {
	text, _ := data["certificate"].(string)
	cert, err := parseOne(text)
	if err != nil {
		return nil, err
	}
	list, _ := data["ca_chain"].([]any)
	if len(list) > maxChain {
		return nil, fmt.Errorf("%w: a chain of %d certificates, at most %d", ErrAnswer, len(list), maxChain)
	}
	var others []*x509.Certificate
	for _, item := range list {
		text, _ := item.(string)
		other, err := parseOne(text)
		if err != nil {
			return nil, err
		}
		others = append(others, other)
	}
	return climb(cert, others)
}

// climb goes from a certificate up to the root.
func climb(cert *x509.Certificate, others []*x509.Certificate) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{cert}
	for cert.CheckSignatureFrom(cert) != nil {
		parent := parentOf(cert, others)
		if parent == nil || len(chain) > maxChain {
			return nil, fmt.Errorf("%w: the chain ends at %q, which is signed by %q: import that CA's certificate into the mount, up to the root",
				ErrAnswer, cert.Subject, cert.Issuer)
		}
		chain, cert = append(chain, parent), parent
	}
	return chain, nil
}

func parentOf(cert *x509.Certificate, others []*x509.Certificate) *x509.Certificate {
	for _, o := range others {
		if !o.Equal(cert) && cert.CheckSignatureFrom(o) == nil {
			return o
		}
	}
	return nil
}

func parseOne(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Errorf("%w: no PEM certificate where one should be", ErrAnswer)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return cert, nil
}

// checkSigned refuses what package ca cannot see or would not explain.
func checkSigned(chain []*x509.Certificate, asked *x509.Certificate, td spiffeid.TrustDomain, trusted ca.Bundle) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w: a root instead of an issuer", ErrAnswer)
	}
	cert := chain[0]
	switch {
	case len(cert.DNSNames)+len(cert.EmailAddresses)+len(cert.IPAddresses)+len(cert.URIs) > 0:
		return fmt.Errorf("%w: the issuer has names of its own (SAN)", ErrAnswer)
	case cert.KeyUsage != asked.KeyUsage || len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0:
		return fmt.Errorf("%w: the issuer's key usage is not the one asked for", ErrAnswer)
	case cert.NotBefore.Before(asked.NotBefore.Add(-maxLeeway)):
		return fmt.Errorf("%w: the issuer is valid from %s: the clocks of vault and of this machine are apart, or it is an old one",
			ErrAnswer, cert.NotBefore.UTC().Format(time.RFC3339))
	}
	last := chain[len(chain)-1]
	root := parentOf(last, trusted.Roots())
	if root == nil {
		return otherRoot(last.Issuer, trusted)
	}
	return checkScope(append(chain[1:len(chain):len(chain)], root), td)
}

func otherRoot(name pkix.Name, trusted ca.Bundle) error {
	return fmt.Errorf("%w: vault's issuer leads to %q, and workloads trust %s: if vault's root was replaced, bring the mesh to it by a rotation of the root; "+
		"else correct mount and issuer", ErrOtherRoot, name, subjects(trusted.Roots()))
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

func subjects(certs []*x509.Certificate) string {
	var names []string
	for _, c := range certs {
		names = append(names, fmt.Sprintf("%q", c.Subject))
	}
	return strings.Join(names, ", ")
}
