package clientcert

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

// DefaultMaxTokenAge is how long an account may renew by SVIDs alone when
// nothing else is configured.
const DefaultMaxTokenAge = 30 * 24 * time.Hour

// Bound is what the ledger knows of a certificate that was issued.
type Bound struct {
	// Certificate is the SHA-256 of its DER, lower-case hex.
	Certificate string
	// AccountUID is the UID of the account when it was issued.
	AccountUID string
	// Pod and PodUID are the pod that it was issued for; both "" if for the account only.
	Pod, PodUID string
	// TokenAt is when a token last proved the chain of renewals that it belongs to.
	TokenAt time.Time
}

// Config says what an SVID must belong to. All fields but MaxTokenAge are required.
type Config struct {
	TrustDomain spiffeid.TrustDomain
	// Directory says which accounts and pods exist.
	Directory identity.Directory
	// Binding says what a certificate was issued for, by its serial (lower-case
	// hex). An error that wraps [identity.ErrUnrecorded] refuses the certificate;
	// any other refuses the caller for now, with [identity.ErrUnavailable].
	Binding func(ctx context.Context, serial string) (Bound, error)
	// MaxTokenAge is how long after the last token a chain of renewals ends; 0 is
	// DefaultMaxTokenAge. It bounds what a stolen key is good for.
	MaxTokenAge time.Duration
}

// Authenticator checks client certificates. It is safe for concurrent use.
type Authenticator struct{ cfg Config }

// NewAuthenticator checks SVIDs of one trust domain.
func NewAuthenticator(cfg Config) (*Authenticator, error) {
	if cfg.TrustDomain.IsZero() || cfg.Directory == nil || cfg.Binding == nil {
		return nil, errors.New("authenticating client certificates needs a trust domain, a directory of accounts and what certificates are bound to")
	}
	if cfg.MaxTokenAge < 0 {
		return nil, fmt.Errorf("the longest age of a token, %s, is negative", cfg.MaxTokenAge)
	}
	if cfg.MaxTokenAge == 0 {
		cfg.MaxTokenAge = DefaultMaxTokenAge
	}
	return &Authenticator{cfg: cfg}, nil
}

// Authenticate implements [identity.Authenticator] on [identity.Credentials].Chain.
func (a *Authenticator) Authenticate(ctx context.Context, c identity.Credentials) (identity.Caller, error) {
	if len(c.Chain) == 0 || c.Chain[0] == nil {
		return identity.Caller{}, fmt.Errorf("%w: no client certificate", identity.ErrNoProof)
	}
	leaf := c.Chain[0]
	account, err := a.account(leaf)
	if err != nil {
		return identity.Caller{}, err
	}
	now := time.Now()
	if err := checkTime(leaf, now); err != nil {
		return identity.Caller{}, err
	}
	uid, ok := a.cfg.Directory.Account(account.Namespace, account.Name)
	if !ok {
		return identity.Caller{}, fmt.Errorf("%w: %s/%s of the client certificate does not exist",
			identity.ErrUnknownAccount, account.Namespace, account.Name)
	}
	caller := identity.Caller{
		Account:    account,
		AccountUID: uid,
		Proof:      identity.ProofSVID,
		Serial:     leaf.SerialNumber.Text(16),
		Expires:    leaf.NotAfter,
	}
	bound, err := a.bound(ctx, leaf)
	if err != nil {
		return identity.Caller{}, err
	}
	if bound.AccountUID != uid {
		return identity.Caller{}, fmt.Errorf("%w: %s/%s is another one now than serial %s was issued for",
			identity.ErrUnknownAccount, account.Namespace, account.Name, caller.Serial)
	}
	if caller, err = a.bindToken(caller, bound, now); err != nil {
		return identity.Caller{}, err
	}
	return a.bindPod(caller, bound)
}

// bound looks the certificate up, and believes only the very one that was recorded:
// whoever stole an issuer's key can give another one the same serial.
func (a *Authenticator) bound(ctx context.Context, leaf *x509.Certificate) (Bound, error) {
	serial, sum := leaf.SerialNumber.Text(16), sha256.Sum256(leaf.Raw)
	bound, err := a.cfg.Binding(ctx, serial)
	switch {
	case errors.Is(err, identity.ErrUnrecorded):
		return Bound{}, err
	case err != nil:
		return Bound{}, fmt.Errorf("%w: looking up what serial %s is bound to: %w", identity.ErrUnavailable, serial, err)
	case bound.Certificate != hex.EncodeToString(sum[:]):
		return Bound{}, fmt.Errorf("%w: the client certificate (SHA-256 %x) has serial %s, which was given to another one: somebody else signed it; see `ensign identity audit`",
			identity.ErrUnrecorded, sum, serial)
	}
	return bound, nil
}

// bindToken ends the caller with its chain of renewals.
func (a *Authenticator) bindToken(c identity.Caller, b Bound, now time.Time) (identity.Caller, error) {
	end := b.TokenAt.Add(a.cfg.MaxTokenAge)
	if !now.Before(end) {
		return identity.Caller{}, fmt.Errorf("%w: serial %s was renewed from SVID to SVID since a token of %s, at most %s are allowed: renew with a token",
			identity.ErrExpired, c.Serial, b.TokenAt.UTC().Format(time.RFC3339), a.cfg.MaxTokenAge)
	}
	if end.Before(c.Expires) {
		c.Expires = end
	}
	c.TokenAt = b.TokenAt
	return c, nil
}

// bindPod adds the pod that the certificate was issued for. The pod must still be
// that one: a key that outlived its pod renews nothing.
func (a *Authenticator) bindPod(c identity.Caller, b Bound) (identity.Caller, error) {
	if b.Pod == "" {
		return c, nil
	}
	pod, ok := a.cfg.Directory.Pod(c.Account.Namespace, b.Pod)
	if !ok || pod.UID != b.PodUID {
		return identity.Caller{}, fmt.Errorf("%w: %s/%s that serial %s was issued for does not exist",
			identity.ErrUnknownPod, c.Account.Namespace, b.Pod, c.Serial)
	}
	if pod.Account != c.Account.Name {
		return identity.Caller{}, fmt.Errorf("%w: pod %s/%s runs as %q, serial %s is of %q",
			identity.ErrMismatch, c.Account.Namespace, b.Pod, pod.Account, c.Serial, c.Account.Name)
	}
	c.Pod, c.PodUID, c.Node = b.Pod, b.PodUID, pod.Node
	return c, nil
}
