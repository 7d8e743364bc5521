package clientcert

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

// Config says what an SVID must belong to.
type Config struct {
	TrustDomain spiffeid.TrustDomain
	// Directory says which accounts and pods exist.
	Directory identity.Directory
	// Binding says which pod a certificate was issued for, by its serial
	// (lower-case hex); both "" if for the account only. An error refuses the
	// caller with [identity.ErrUnavailable]. Nil: SVIDs speak for their account whatever became of the pod.
	Binding func(ctx context.Context, serial string) (pod, podUID string, err error)
}

// Authenticator checks client certificates. It is safe for concurrent use.
type Authenticator struct{ cfg Config }

// NewAuthenticator checks SVIDs of one trust domain.
func NewAuthenticator(cfg Config) (*Authenticator, error) {
	if cfg.TrustDomain.IsZero() || cfg.Directory == nil {
		return nil, errors.New("authenticating client certificates needs a trust domain and a directory of accounts")
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
	if err := checkTime(leaf, time.Now()); err != nil {
		return identity.Caller{}, err
	}
	if _, ok := a.cfg.Directory.Account(account.Namespace, account.Name); !ok {
		return identity.Caller{}, fmt.Errorf("%w: %s/%s of the client certificate does not exist",
			identity.ErrUnknownAccount, account.Namespace, account.Name)
	}
	caller := identity.Caller{
		Account: account,
		Proof:   identity.ProofSVID,
		Serial:  leaf.SerialNumber.Text(16),
		Expires: leaf.NotAfter,
	}
	return a.bind(ctx, caller)
}

// bind adds the pod that the certificate was issued for. The pod must still be
// that one: a key that outlived its pod renews nothing.
func (a *Authenticator) bind(ctx context.Context, c identity.Caller) (identity.Caller, error) {
	if a.cfg.Binding == nil {
		return c, nil
	}
	name, uid, err := a.cfg.Binding(ctx, c.Serial)
	if err != nil {
		return identity.Caller{}, fmt.Errorf("%w: looking up what serial %s is bound to: %w", identity.ErrUnavailable, c.Serial, err)
	}
	if name == "" {
		return c, nil
	}
	pod, ok := a.cfg.Directory.Pod(c.Account.Namespace, name)
	if !ok || pod.UID != uid {
		return identity.Caller{}, fmt.Errorf("%w: %s/%s that serial %s was issued for does not exist",
			identity.ErrUnknownPod, c.Account.Namespace, name, c.Serial)
	}
	if pod.Account != c.Account.Name {
		return identity.Caller{}, fmt.Errorf("%w: pod %s/%s runs as %q, serial %s is of %q",
			identity.ErrMismatch, c.Account.Namespace, name, pod.Account, c.Serial, c.Account.Name)
	}
	c.Pod, c.PodUID, c.Node = name, uid, pod.Node
	return c, nil
}
