package kms

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"
)

// signer is a key in a place. It knows its public half without asking, and opens its
// place when it signs.
type signer struct {
	store   *Store
	ref     reference
	public  crypto.PublicKey
	trouble trouble
}

// signer is the one of a reference: each key has one, which knows how it is.
func (s *Store) signer(r reference) (crypto.Signer, error) {
	public, err := r.public()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.Place + "\x00" + r.Key
	if k := s.signers[name]; k != nil && same(k.public, public) {
		return k, nil
	}
	s.signers[name] = &signer{store: s, ref: r, public: public}
	return s.signers[name], nil
}

// Public implements [crypto.Signer].
func (k *signer) Public() crypto.PublicKey { return k.public }

// Sign implements [crypto.Signer]. It ends within [Config].Timeout for each place that
// the key may be in, and when the store's context does.
func (k *signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	digest = slices.Clone(digest) // a call that is left behind may still read it
	return within(k, func(ctx context.Context, r *room) ([]byte, error) { return r.sign(ctx, k, random, digest, opts) })
}

// Healthy says why the key could not sign, and since when, as far as is known without
// asking its place; nil if it could. One that may be in two places is well in either.
func (k *signer) Healthy() (since time.Time, err error) {
	rooms, err := k.rooms()
	if err != nil {
		return time.Time{}, err
	}
	if !slices.ContainsFunc(rooms, func(r *room) bool { return r.hangs() == nil }) {
		return rooms[0].health()
	}
	return k.trouble.now()
}

// look asks whether the key is there.
func (k *signer) look() {
	// What is wrong is noted.
	_, _ = within(k, func(ctx context.Context, r *room) (struct{}, error) {
		_, err := r.find(ctx, k)
		return struct{}{}, err
	})
}

// rooms are where the store is told that such keys are, or else where the key was made:
// a module or its PIN may have moved.
func (k *signer) rooms() ([]*room, error) {
	made, err := Parse(k.ref.Place)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if now := k.store.cfg.Place; now.scheme == made.scheme && now != made {
		return []*room{k.store.room(now), k.store.room(made)}, nil
	}
	return []*room{k.store.room(made)}, nil
}

// within does something in the first of a key's rooms where that goes well, and notes how
// the key is.
func within[T any](k *signer, do func(context.Context, *room) (T, error)) (value T, err error) {
	rooms, err := k.rooms()
	var errs []error
	for _, r := range rooms {
		value, err = enter(k.store.ctx, r, func() (T, error) { return do(k.store.ctx, r) })
		if err == nil {
			break
		}
		errs = append(errs, err)
	}
	if err != nil && len(errs) > 0 {
		err = errors.Join(errs...)
	}
	if news := k.trouble.note(err); news && err != nil {
		k.store.cfg.Logger.WarnContext(k.store.ctx, "the root's key can not be used", slog.String("key", k.ref.Key), slog.Any("error", err))
	} else if news {
		k.store.cfg.Logger.InfoContext(k.store.ctx, "the root's key can be used again", slog.String("key", k.ref.Key))
	}
	return value, err
}

func same(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
