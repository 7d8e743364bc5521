package agent

import (
	"bytes"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	// rootPrefix begins the name of every root that followed on another. No issuer has
	// such a name, so that an issuer's certificate is never taken for a link.
	rootPrefix = "Ensign root "
	// The longest chain that is looked at, and how many signatures of it.
	maxShown      = 128
	maxSignatures = 128
)

// A link is the certificate of a later root's key and name, signed by the root before
// it. Behind its chain the control plane shows all roots and links that it has; so
// whoever trusts one of the roots can find out, asking nobody, which ones follow on it.
//
// Nothing is believed by a link but what a root that is trusted signed itself, or a
// root that was reached that way: never what an issuer signed.

// reach is which of the roots that are shown follow on those that are trusted, over
// any number of links in any order. Trusted roots are none of them.
func reach(trusted, shown []*x509.Certificate, trustDomain spiffeid.TrustDomain, now time.Time) []*x509.Certificate {
	var links, roots, vouching []*x509.Certificate
	for _, cert := range shown[:min(len(shown), maxShown)] {
		switch {
		case isLink(cert, trustDomain, now):
			links = append(links, cert)
		case isRoot(cert, now) && !slices.ContainsFunc(trusted, cert.Equal):
			roots = append(roots, cert)
		}
	}
	for _, root := range trusted {
		if validAt(root, now) {
			vouching = append(vouching, root)
		}
	}
	known, signatures := len(vouching), 0
	for i := 0; i < len(vouching); i++ {
		links = slices.DeleteFunc(links, func(link *x509.Certificate) bool {
			if !bytes.Equal(link.RawIssuer, vouching[i].RawSubject) || signatures == maxSignatures {
				return false
			}
			signatures++
			if link.CheckSignatureFrom(vouching[i]) != nil {
				return false
			}
			vouching = append(vouching, link)
			return true
		})
	}
	return slices.DeleteFunc(roots, func(root *x509.Certificate) bool {
		return !slices.ContainsFunc(vouching[known:], func(link *x509.Certificate) bool { return sameAuthority(link, root) })
	})
}

// isLink says whether a certificate has the form of a link.
func isLink(cert *x509.Certificate, trustDomain spiffeid.TrustDomain, now time.Time) bool {
	return isAuthority(cert) && validAt(cert, now) && !bytes.Equal(cert.RawSubject, cert.RawIssuer) &&
		strings.HasPrefix(cert.Subject.CommonName, rootPrefix) && slices.Equal(cert.Subject.Organization, []string{trustDomain.Name()})
}

// isRoot says whether a certificate is a root, signed by itself.
func isRoot(cert *x509.Certificate, now time.Time) bool {
	return isAuthority(cert) && validAt(cert, now) && bytes.Equal(cert.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(cert) == nil
}

func isAuthority(cert *x509.Certificate) bool {
	return cert.IsCA && cert.BasicConstraintsValid && cert.KeyUsage&x509.KeyUsageCertSign != 0 && len(cert.UnhandledCriticalExtensions) == 0
}

func validAt(cert *x509.Certificate, now time.Time) bool {
	return !now.Before(cert.NotBefore) && !now.After(cert.NotAfter)
}

// sameAuthority says whether two certificates are of one name and key.
func sameAuthority(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubject, b.RawSubject) && bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}
