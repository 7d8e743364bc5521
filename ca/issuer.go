package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// issuer is a key that signs leaves, its certificate, and the roots it leads to.
// It is immutable; a rotation replaces it whole.
type issuer struct {
	key    crypto.Signer
	cert   *x509.Certificate
	serial string              // cert's, lower-case hex
	chain  []*x509.Certificate // cert first, no root
	bundle Bundle
	// anchor is cert alone. That cert leads to a root, from now to its last
	// second, was verified before it came into force (checkIssuerChain), so
	// that a leaf which leads to cert leads to the root.
	anchor *x509.CertPool
	// replaceAt is when a new issuer should take over, by the wall clock: the
	// monotonic one stands still while a machine sleeps.
	replaceAt time.Time
}

// newIssuer makes a key and has it certified.
func newIssuer(ctx context.Context, up Upstream, td spiffeid.TrustDomain, life time.Duration) (*issuer, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := issuerTemplate(td, time.Now(), life)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: template.Subject}, key)
	if err != nil {
		return nil, fmt.Errorf("making signing request of the issuer: %w", err)
	}
	chain, err := up.CertifyIssuer(ctx, IssuerRequest{Template: template, PublicKey: key.Public(), CSR: csr})
	if err != nil {
		return nil, fmt.Errorf("certifying issuer: %w", err)
	}
	bundle, err := up.Bundle(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading roots of the issuer: %w", err)
	}
	if err := checkIssuer(chain, key.Public(), template, td, bundle, time.Now()); err != nil {
		return nil, err
	}
	return assembleIssuer(key, chain, bundle), nil
}

func assembleIssuer(key crypto.Signer, chain []*x509.Certificate, bundle Bundle) *issuer {
	now := time.Now()
	// One that was kept is replaced as early as if its process had lived on.
	made := chain[0].NotBefore.Add(Backdate)
	if made.After(now) {
		made = now
	}
	return &issuer{
		key:       key,
		cert:      chain[0],
		serial:    chain[0].SerialNumber.Text(16),
		chain:     chain,
		bundle:    bundle,
		anchor:    poolOf(chain[:1]),
		replaceAt: replaceAt(made, chain[0].NotAfter, jitter()).Round(0),
	}
}

// issuerTemplate describes an issuer that can sign leaves of one trust domain
// and no further CA. Its name is its own, so that no two issuers are confused.
func issuerTemplate(td spiffeid.TrustDomain, now time.Time, life time.Duration) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now = now.UTC().Truncate(time.Second)
	return &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			Organization: []string{td.Name()},
			CommonName:   "Ensign issuer " + strings.ToLower(rand.Text()[:12]),
		},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(life).Truncate(time.Second),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// Despite its name the flag marks the whole name constraint critical.
		PermittedDNSDomainsCritical: true,
		PermittedURIDomains:         []string{td.Name()},
	}, nil
}

// parent is the certificate that signed the issuer's: the next of the chain, or
// the root that it verifies under.
func (i *issuer) parent() *x509.Certificate {
	if len(i.chain) > 1 {
		return i.chain[1]
	}
	for _, root := range i.bundle.roots {
		if i.cert.CheckSignatureFrom(root) == nil {
			return root
		}
	}
	return i.cert
}

// inForce is nil while the issuer may sign.
func (i *issuer) inForce(now time.Time) error {
	switch {
	case !now.Before(i.cert.NotAfter):
		return fmt.Errorf("%w: the last one has expired at %s", ErrIssuerExpired, i.cert.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(i.cert.NotBefore):
		return fmt.Errorf("%w: the newest one starts at %s, so the clock was set back", ErrIssuerExpired, i.cert.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}

// due says whether a new issuer should take over.
func (i *issuer) due(now time.Time) bool {
	return !now.Before(i.replaceAt) || now.Before(i.cert.NotBefore)
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making issuer key: %w", err)
	}
	return key, nil
}

func poolOf(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}
