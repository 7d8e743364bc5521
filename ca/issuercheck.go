package ca

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// checkIssuer refuses a chain that is not what was asked for, whoever signed it.
func checkIssuer(chain []*x509.Certificate, key crypto.PublicKey, asked *x509.Certificate, td spiffeid.TrustDomain, root *x509.Certificate, now time.Time) error {
	if len(chain) == 0 {
		return misissued("chain", "upstream returned no certificate")
	}
	switch cert := chain[0]; {
	case !samePublicKey(cert.PublicKey, key):
		return misissued("key", "certificate is for another key")
	case cert.Subject.String() != asked.Subject.String():
		return misissued("subject", "subject is %q, asked for %q", cert.Subject, asked.Subject)
	case cert.NotAfter.After(asked.NotAfter):
		return misissued("validity", "issuer is valid to %s, asked for %s", cert.NotAfter, asked.NotAfter)
	case cert.KeyUsage&x509.KeyUsageCRLSign == 0:
		return misissued("key_usage", "issuer may not sign CRLs")
	case len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0:
		return misissued("key_usage", "issuer is limited in what its leaves may be used for")
	}
	if err := checkScope(chain[0], td); err != nil {
		return err
	}
	return checkLimits(chain, root, now)
}

// checkScope refuses an issuer that is not limited to the trust domain: it would be
// a CA for every other one too. One that is limited in more would come into force, and
// then no leaf of it would verify.
func checkScope(cert *x509.Certificate, td spiffeid.TrustDomain) error {
	names := slices.Concat(cert.ExcludedURIDomains, cert.PermittedDNSDomains, cert.ExcludedDNSDomains, cert.PermittedEmailAddresses, cert.ExcludedEmailAddresses)
	if ranges := slices.Concat(cert.PermittedIPRanges, cert.ExcludedIPRanges); len(names)+len(ranges) > 0 {
		return misissued("name_constraints", "other names than URIs are limited, or some are excluded: %q %v", names, ranges)
	}
	if !cert.PermittedDNSDomainsCritical || !slices.Equal(cert.PermittedURIDomains, []string{td.Name()}) {
		return misissued("name_constraints", "URI names are limited to %q, must be to %q, critical", cert.PermittedURIDomains, td.Name())
	}
	return nil
}

// checkLimits refuses an issuer that could make further CAs, or leaves that nobody
// verifies under the root.
func checkLimits(chain []*x509.Certificate, root *x509.Certificate, now time.Time) error {
	if cert := chain[0]; !cert.BasicConstraintsValid || !cert.IsCA || !cert.MaxPathLenZero {
		return misissued("basic_constraints", "issuer must be a CA of path length 0")
	}
	if err := checkSigns(chain[0], now); err != nil {
		return err
	}
	return checkIssuerChain(chain, root, now)
}

// checkSigns refuses what is no CA whose leaves can be told by its key.
func checkSigns(cert *x509.Certificate, now time.Time) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return misissued("basic_constraints", "issuer must be a CA")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return misissued("key_usage", "issuer may not sign certificates")
	case len(cert.SubjectKeyId) == 0:
		return misissued("subject_key_id", "issuer has none, so leaves cannot point at it")
	case cert.SerialNumber.Sign() <= 0:
		return misissued("serial", "serial is not positive")
	case cert.NotBefore.After(now) || !cert.NotAfter.After(now):
		return misissued("validity", "issuer is valid %s to %s", cert.NotBefore, cert.NotAfter)
	}
	return nil
}

// checkIssuerChain verifies up to the root, now and at the issuer's last second:
// the second finds a root that ends before its issuer.
func checkIssuerChain(chain []*x509.Certificate, root *x509.Certificate, now time.Time) error {
	for _, at := range []time.Time{now, chain[0].NotAfter} {
		_, err := chain[0].Verify(x509.VerifyOptions{
			Roots:         poolOf([]*x509.Certificate{root}),
			Intermediates: poolOf(chain[1:]),
			CurrentTime:   at,
			KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		if err != nil {
			return misissued("chain", "issuer does not lead to root %q at %s: %v", root.Subject, at.UTC().Format(time.RFC3339), err)
		}
	}
	return nil
}

// checkTrustDomain refuses names that cannot be the host of a URI name
// constraint (RFC 5280 §4.2.1.10): no leaf under one would ever verify.
func checkTrustDomain(td spiffeid.TrustDomain) error {
	name := td.Name()
	if td.IsZero() {
		return fmt.Errorf("trust domain is missing")
	}
	if net.ParseIP(name) != nil {
		return fmt.Errorf("trust domain %q is an IP address: X.509 cannot limit an issuer to it, use a DNS name", name)
	}
	if slices.Contains(strings.Split(name, "."), "") {
		return fmt.Errorf("trust domain %q has an empty label: use a DNS name", name)
	}
	return nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

func misissued(check, format string, args ...any) error {
	return &LintError{Check: check, Detail: fmt.Sprintf(format, args...)}
}
