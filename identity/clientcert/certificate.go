package clientcert

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

// account reads the service account out of a leaf of the right form.
func (a *Authenticator) account(leaf *x509.Certificate) (identity.ServiceAccount, error) {
	if err := checkForm(leaf); err != nil {
		return identity.ServiceAccount{}, err
	}
	id, err := spiffeid.FromURI(leaf.URIs[0])
	if err != nil {
		return identity.ServiceAccount{}, fmt.Errorf("%w: SAN of the client certificate: %w", identity.ErrMalformed, err)
	}
	if !id.MemberOf(a.cfg.TrustDomain) {
		return identity.ServiceAccount{}, fmt.Errorf("%w: client certificate is of %q, this is %q",
			identity.ErrTrustDomain, id.TrustDomain().Name(), a.cfg.TrustDomain.Name())
	}
	account, err := identity.AccountFromID(id)
	if err != nil {
		return identity.ServiceAccount{}, fmt.Errorf("%w: %w", identity.ErrMalformed, err)
	}
	return account, nil
}

// checkForm demands an X.509-SVID that may be used by a TLS client.
func checkForm(leaf *x509.Certificate) error {
	switch {
	case leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return fmt.Errorf("%w: client certificate is a CA's", identity.ErrMalformed)
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fmt.Errorf("%w: client certificate may not sign", identity.ErrMalformed)
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return fmt.Errorf("%w: client certificate is not for TLS clients", identity.ErrMalformed)
	case len(leaf.URIs) != 1:
		return fmt.Errorf("%w: client certificate has %d URI names, not one", identity.ErrMalformed, len(leaf.URIs))
	case len(leaf.DNSNames)+len(leaf.EmailAddresses)+len(leaf.IPAddresses) != 0:
		return fmt.Errorf("%w: client certificate has names beside its SPIFFE ID", identity.ErrMalformed)
	case leaf.SerialNumber == nil || leaf.SerialNumber.Sign() <= 0:
		return fmt.Errorf("%w: serial of the client certificate is not positive", identity.ErrMalformed)
	}
	return nil
}

func checkTime(leaf *x509.Certificate, now time.Time) error {
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("%w: client certificate ended at %s: renew with a token", identity.ErrExpired, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(leaf.NotBefore) {
		return fmt.Errorf("%w: client certificate starts at %s: compare the clocks", identity.ErrNotYetValid, leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}
