package kms

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"sync"

	"go.step.sm/crypto/kms/apiv1"
)

// signer is a key in a place. It knows its public half without asking, and opens its
// place when it signs.
type signer struct {
	store  *Store
	ref    reference
	public crypto.PublicKey

	mu   sync.Mutex
	live crypto.Signer // nil until it signed, and after it failed
	in   Place         // where live is
}

func (s *Store) signer(r reference) (crypto.Signer, error) {
	public, err := r.public()
	if err != nil {
		return nil, err
	}
	return &signer{store: s, ref: r, public: public}, nil
}

// Public implements [crypto.Signer].
func (k *signer) Public() crypto.PublicKey { return k.public }

// Sign implements [crypto.Signer]. After a failure the place is opened anew, once: a
// module that was away in between is as good as before.
func (k *signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.live != nil {
		if signature, err := k.live.Sign(random, digest, opts); err == nil {
			return signature, nil
		}
		k.store.leave(k.in)
		k.live = nil
	}
	if err := k.open(); err != nil {
		return nil, err
	}
	signature, err := k.live.Sign(random, digest, opts)
	if err != nil {
		k.store.leave(k.in)
		k.live = nil
		return nil, fmt.Errorf("%w: signing by %s: %w", ErrUnavailable, k.ref.Key, err)
	}
	return signature, nil
}

// open finds the key where the store is told that such keys are, or else where it was
// made: a module or its PIN may have moved.
func (k *signer) open() error {
	made, err := Parse(k.ref.Place)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	places := []Place{made}
	if now := k.store.cfg.Place; now.scheme == made.scheme && now != made {
		places = []Place{now, made}
	}
	var errs []error
	for _, p := range places {
		live, err := k.store.find(p, k.ref.Key)
		if err == nil && !same(live.Public(), k.public) {
			err = fmt.Errorf("%w: %s in %s", ErrOtherKey, k.ref.Key, p)
		}
		if err == nil {
			k.live, k.in = live, p
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// find is the signer of a key in a place.
func (s *Store) find(p Place, key string) (crypto.Signer, error) {
	s.mu.Lock()
	manager, err := s.open(p)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	live, err := manager.CreateSigner(&apiv1.CreateSignerRequest{SigningKey: key})
	if err != nil {
		s.leave(p)
		return nil, fmt.Errorf("%w: finding %s in %s: %w", ErrUnavailable, key, p, err)
	}
	return live, nil
}

func same(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
