package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"
)

// remoteSlack is how far the clock of a [Remote] may be off this one's.
const remoteSlack = 5 * time.Minute

// remoteSerialBits is the longest serial that X.509 allows (RFC 5280 §4.1.2.2).
const remoteSerialBits = 159

// Remote signs leaves with a key that this process does not have, in the place of an
// issuer of its own. What it answers is not believed but compared, see [Service.Issue].
type Remote interface {
	// Chain begins with the CA that signs leaves and ends with the root that workloads
	// trust; of a root that signs them itself it is that one certificate.
	Chain() []*x509.Certificate
	// SignLeaf signs one leaf, and ends in bounded time: what cuts callers off waits for it.
	SignLeaf(ctx context.Context, r LeafRequest) (*x509.Certificate, error)
	// Healthy says why nothing could be signed now, as far as is known without asking
	// anybody; nil if it could.
	Healthy() error
}

// LeafRequest asks a [Remote] for one leaf.
type LeafRequest struct {
	// Template is what the leaf must say. A Remote chooses the serial, may end it earlier,
	// by half of its life at most, and adds a subject key identifier.
	Template *x509.Certificate
	// CSR is a PKCS#10 request (DER) for the key: the caller's own, as it came. What it
	// names is nothing to go by.
	CSR []byte
}

// remote is who signs leaves for the root that signs now; nil if it certifies issuers.
func (s *Service) remote() Remote {
	if s.cfg.Remote == nil {
		return nil
	}
	return s.cfg.Remote()
}

// remoteOf is the remote whose CA this is; nil if that is not the one that signs now.
func (s *Service) remoteOf(cert *x509.Certificate) Remote {
	if r := s.remote(); r != nil && r.Chain()[0].Equal(cert) {
		return r
	}
	return nil
}

// newRemoteIssuer is the issuer that a remote is. No key is made.
func newRemoteIssuer(remote Remote, now time.Time) (*issuer, error) {
	chain := remote.Chain()
	root := chain[len(chain)-1]
	// A root that signs leaves itself is its own issuer, so that each leaf has one.
	kept := StoredIssuer{Chain: chain[:max(1, len(chain)-1)], Remote: true}
	if err := checkRemote(kept.Chain, root, now); err != nil {
		return nil, err
	}
	i := assembleIssuer(kept, root)
	i.remote = remote
	return i, nil
}

// checkRemote refuses a CA whose leaves nobody would verify.
func checkRemote(chain []*x509.Certificate, root *x509.Certificate, now time.Time) error {
	if err := checkSigns(chain[0], now); err != nil {
		return err
	}
	switch key := chain[0].PublicKey.(type) {
	case *rsa.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return misissued("key", "CA %q has a key of %s: leaves are signed with P-256 or RSA", chain[0].Subject, key.Params().Name)
		}
	default:
		return misissued("key", "CA %q has a key of %T: leaves are signed with P-256 or RSA", chain[0].Subject, key)
	}
	return checkIssuerChain(chain, root, now)
}

// checkKind refuses a kept issuer that is not of the kind which signs under a root now.
func (s *Service) checkKind(k StoredIssuer, root *x509.Certificate) error {
	remote := s.remote()
	switch {
	case k.Remote && s.remoteOf(k.Chain[0]) == nil:
		return fmt.Errorf("the key of issuer %s is elsewhere, and nobody is asked to sign leaves with it now", k.Serial())
	case !k.Remote && remote != nil && remote.Chain()[len(remote.Chain())-1].Equal(root):
		return fmt.Errorf("leaves under %q are signed elsewhere, and not with keys of this process", root.Subject)
	}
	return nil
}

// chosen is what is expected of a leaf that a remote has signed: the same, but for what
// it may choose, each within its bounds.
func (w expectation) chosen(leaf *x509.Certificate) expectation {
	w.serial, w.serialBits = leaf.SerialNumber, remoteSerialBits
	w.slack, w.keyIdentified = remoteSlack, true
	if leaf.NotBefore.Sub(w.notBefore).Abs() <= remoteSlack {
		w.notBefore = leaf.NotBefore
	}
	if half := w.notAfter.Sub(w.now) / 2; !leaf.NotAfter.After(w.notAfter) && !leaf.NotAfter.Before(w.notAfter.Add(-half)) {
		w.notAfter = leaf.NotAfter
	}
	return w
}
