package agent

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// serverCheck is how the control plane's certificate is held against roots.
type serverCheck struct {
	name        string
	trustDomain spiffeid.TrustDomain
	// bundleFile and rootsFile are where roots come from, for people.
	bundleFile, rootsFile string
	// revoked says of an issuer whether it is known as revoked; nil: none is.
	revoked func(*x509.Certificate) bool
}

func (s *settings) serverCheck() serverCheck {
	return serverCheck{name: s.ServerName, trustDomain: s.trustDomain, bundleFile: s.TrustBundle, rootsFile: s.path("roots")}
}

// verify holds the chain that the control plane shows against the roots that are
// trusted. If it leads to none of them, but to one that follows on them by links,
// that root is the answer: the agent was away while the mesh's root was replaced.
func (c serverCheck) verify(trusted, shown []*x509.Certificate, now time.Time) (follows *x509.Certificate, err error) {
	if len(shown) == 0 || len(shown) > maxShown {
		return nil, fmt.Errorf("the control plane shows %d certificates, 1 to %d are looked at", len(shown), maxShown)
	}
	straight, err := c.chains(trusted, shown, now)
	if err == nil && slices.ContainsFunc(straight, func(chain []*x509.Certificate) bool { return !c.linked(chain, now) }) {
		return nil, nil
	}
	if next := reach(trusted, shown, c.trustDomain, now); len(next) > 0 {
		if chains, err := c.chains(next, shown, now); err == nil {
			return chains[0][len(chains[0])-1], nil
		}
	}
	if ofRoots(err, trusted) {
		err = fmt.Errorf("%w: %s", err, c.advice(trusted, shown))
	}
	return nil, err
}

// ofRoots says whether other roots may cure an error: not if a name is wrong, or what
// is shown has ended.
func ofRoots(err error, trusted []*x509.Certificate) bool {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		return invalid.Reason == x509.TooManyIntermediates || slices.ContainsFunc(trusted, invalid.Cert.Equal)
	}
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown)
}

// chains are those from the first certificate to one of the roots, over no issuer that is
// revoked: the thief of its key could say what is to be trusted.
func (c serverCheck) chains(roots, shown []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	options := x509.VerifyOptions{DNSName: c.name, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, root := range roots {
		options.Roots.AddCert(root)
	}
	for _, cert := range shown[1:] {
		options.Intermediates.AddCert(cert)
	}
	chains, err := shown[0].Verify(options)
	if err != nil || c.revoked == nil {
		return chains, err
	}
	var revoked *x509.Certificate
	chains = slices.DeleteFunc(chains, func(chain []*x509.Certificate) bool {
		i := slices.IndexFunc(chain[1:], c.revoked)
		if i >= 0 {
			revoked = chain[1+i]
		}
		return i >= 0
	})
	if len(chains) == 0 {
		return nil, fmt.Errorf("issuer %x of the server's certificate is revoked: if `ensign ca status` shows another, the server is somebody else; "+
			"if ensignd's ledger was restored and does not know it, run `ensign revoke --issuer %x` again", revoked.SerialNumber, revoked.SerialNumber)
	}
	return chains, nil
}

// linked says whether a chain passes through a link: it is good, and shows that there
// is a root that the agent does not know yet.
func (c serverCheck) linked(chain []*x509.Certificate, now time.Time) bool {
	return slices.ContainsFunc(chain[:len(chain)-1], func(cert *x509.Certificate) bool { return isLink(cert, c.trustDomain, now) })
}

// advice is what a person is to do about an agent that cannot come back by itself.
// What it says of the control plane's root is that one's own word.
func (c serverCheck) advice(trusted, shown []*x509.Certificate) string {
	claim := fmt.Sprintf("%.100q", shown[len(shown)-1].Issuer.String())
	for _, cert := range shown {
		if cert.IsCA && bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			claim = describe([]*x509.Certificate{cert})
		}
	}
	return fmt.Sprintf("this agent trusts %s, and the server claims to be of %s; if that is the mesh's root now, "+
		"copy bundle.pem of ensignd's data folder to %s; if that file is right already, remove %s and start the agent again",
		describe(trusted), claim, c.bundleFile, c.rootsFile)
}

// describe names roots for people: enough to tell them apart.
func describe(roots []*x509.Certificate) string {
	var texts []string
	for _, root := range roots[:min(len(roots), 4)] {
		texts = append(texts, fmt.Sprintf("%.100q (SHA-256 %.8x…)", root.Subject.String(), sha256.Sum256(root.Raw)))
	}
	return strings.Join(texts, ", ")
}
