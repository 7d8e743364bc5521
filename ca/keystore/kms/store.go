package kms

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"go.step.sm/crypto/kms/apiv1"
)

// Keys are sealed in files; keystore.Store is one.
type Keys interface {
	// ReadKey returns an error that wraps fs.ErrNotExist if there is no such key.
	ReadKey(name string) (crypto.Signer, error)
	EnsureKey(name string, generate func() (crypto.Signer, error)) (crypto.Signer, error)
}

// References keeps small secrets durably; keystore.Store does.
type References interface {
	// Read returns an error that wraps fs.ErrNotExist if there is none of that name.
	Read(name string) ([]byte, error)
	Write(name string, secret []byte) error
}

// Config is what a Store needs; all fields but Place and Logger are required.
type Config struct {
	// Place is where new keys are made.
	Place      Place
	Keys       Keys
	References References
	// Logger hears of keys that are made. Nil is silence.
	Logger *slog.Logger
}

// Store finds and makes keys in places. It implements ca/upstream's KeyStore and is
// safe for concurrent use.
type Store struct {
	cfg Config
	ctx context.Context // for the places' own clients, which outlive each call

	// mu is held while a key is made, and while a place is opened or left.
	mu     sync.Mutex
	opened map[string]apiv1.KeyManager // by the URI of its place
	wrong  map[string]pin              // PINs that a place has refused, by its URI
}

// Open makes a Store; no place is opened yet. It fails with [ErrNotBuilt] if this
// program could never open cfg.Place. When ctx ends, no place is opened any more.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Keys == nil || cfg.References == nil {
		return nil, errors.New("a store of keys needs sealed files beside it")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := built(cfg.Place); err != nil {
		return nil, err
	}
	return &Store{cfg: cfg, ctx: ctx, opened: map[string]apiv1.KeyManager{}, wrong: map[string]pin{}}, nil
}

// Close leaves all places. Keys that were read open theirs again if they sign.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for place, m := range s.opened {
		errs = append(errs, m.Close())
		delete(s.opened, place)
	}
	return errors.Join(errs...)
}

// ReadKey finds a key by its name, wherever it was made; an error that wraps
// fs.ErrNotExist if it was made nowhere. It asks no place.
func (s *Store) ReadKey(name string) (crypto.Signer, error) {
	r, err := s.read(name)
	switch {
	case missing(err):
		return s.cfg.Keys.ReadKey(name)
	case err != nil:
		return nil, err
	case r.Public == nil:
		return nil, fmt.Errorf("key %s: %w", name, errNotMade)
	}
	return s.signer(r)
}

// EnsureKey finds a key, or makes one: an ECDSA key on P-256 in the store's place, or
// with generate in a sealed file if that is the place.
func (s *Store) EnsureKey(name string, generate func() (crypto.Signer, error)) (crypto.Signer, error) {
	key, err := s.ReadKey(name)
	if err == nil || !missing(err) {
		return key, err
	}
	if s.cfg.Place.IsFile() {
		return s.cfg.Keys.EnsureKey(name, generate)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.read(name)
	if missing(err) || err == nil && r.Place != s.cfg.Place.String() {
		r, err = s.begin(name)
	}
	if err != nil {
		return nil, err
	}
	if r.Public == nil {
		if r, err = s.make(name, r); err != nil {
			return nil, fmt.Errorf("making key %s in %s: %w", name, s.cfg.Place, err)
		}
	}
	return s.signer(r)
}

// make makes the key of a reference, or finds the one that was made before a crash.
func (s *Store) make(name string, r reference) (reference, error) {
	manager, err := s.open(s.cfg.Place)
	if err != nil {
		return r, err
	}
	public, err := s.found(manager, r)
	if err != nil {
		made, err := manager.CreateKey(&apiv1.CreateKeyRequest{
			Name: r.Key, SignatureAlgorithm: apiv1.ECDSAWithSHA256, ProtectionLevel: s.cfg.Place.level(),
		})
		if err != nil {
			s.drop(s.cfg.Place)
			return r, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		public, r.Key = made.PublicKey, made.CreateSignerRequest.SigningKey
	}
	if r.Public, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return r, fmt.Errorf("encoding its public half: %w", err)
	}
	if err := s.write(name, r); err != nil {
		return r, err
	}
	s.cfg.Logger.InfoContext(s.ctx, "root key made", "name", name, "key", r.Key, "place", r.Place)
	return r, nil
}

// found is the key that a run before this one made and did not live to note. Only
// PKCS#11 finds keys by the names that they were made under.
func (s *Store) found(manager apiv1.KeyManager, r reference) (crypto.PublicKey, error) {
	if s.cfg.Place.scheme != apiv1.PKCS11 {
		return nil, errNotMade
	}
	return manager.GetPublicKey(&apiv1.GetPublicKeyRequest{Name: r.Key})
}
