package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// issuer is a key that signs leaves, its certificate, and the roots it leads to.
// It is immutable; a rotation replaces it whole.
type issuer struct {
	key    crypto.Signer // nil of a remote's
	remote Remote        // nil with a key
	cert   *x509.Certificate
	serial string              // cert's, lower-case hex
	chain  []*x509.Certificate // cert first, no root
	root   *x509.Certificate   // that cert leads to
	// anchor is cert alone. That cert leads to root, from now to its last second,
	// was verified before it came into force (checkLimits), so that a leaf which
	// leads to cert leads to the root. Of an imported issuer and of a remote's, whose names
	// and uses those above it may limit, it is root, and between is the chain.
	anchor, between *x509.CertPool
	// replaceAt is when a new issuer should take over, by the wall clock: the
	// monotonic one stands still while a machine sleeps.
	replaceAt time.Time
}

// errUncertified: the root did not certify an issuer; a later try may succeed.
var errUncertified = errors.New("certifying issuer")

// newIssuer makes a key and has it certified by the root that signs now.
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
	// Before it is asked: an answer of the root that signs a moment later is refused,
	// and asked for again.
	root := up.Signing()
	chain, err := up.CertifyIssuer(ctx, IssuerRequest{Template: template, PublicKey: key.Public(), CSR: csr})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUncertified, err)
	}
	if err := checkIssuer(chain, key.Public(), template, td, root, time.Now()); err != nil {
		return nil, err
	}
	return assembleIssuer(StoredIssuer{Key: key, Chain: chain}, root), nil
}

// assembleIssuer makes an issuer of what is kept, and the root that it leads to.
func assembleIssuer(kept StoredIssuer, root *x509.Certificate) *issuer {
	cert, now := kept.Chain[0], time.Now()
	// One that was kept is replaced as early as if its process had lived on.
	made := cert.NotBefore.Add(Backdate)
	if made.After(now) {
		made = now
	}
	i := &issuer{
		key:       kept.Key,
		cert:      cert,
		serial:    kept.Serial(),
		chain:     kept.Chain,
		root:      root,
		anchor:    poolOf(kept.Chain[:1]),
		replaceAt: replaceAt(made, cert.NotAfter, share(cert.SerialNumber)).Round(0),
	}
	if kept.Imported || kept.Remote {
		i.replaceAt = cert.NotAfter // nobody can make another
		i.anchor, i.between = poolOf([]*x509.Certificate{root}), poolOf(kept.Chain)
	}
	return i
}

// share is 0 to 0.1, the same whenever it is asked of one serial.
func share(serial *big.Int) float64 {
	const parts = 1 << 16
	return float64(new(big.Int).Mod(serial, big.NewInt(parts)).Int64()) / (10 * parts)
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

// inForce is nil while the issuer may sign.
func (i *issuer) inForce(now time.Time) error {
	switch {
	case i.key == nil && i.remote == nil:
		return fmt.Errorf("%w: the key of %s is elsewhere, and nobody is asked for it any more", ErrIssuerExpired, i.serial)
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
