package kms

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

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
	// Timeout of each call into a place; default [DefaultTimeout].
	Timeout time.Duration
	// Logger hears of keys that are made. Nil is silence.
	Logger *slog.Logger
}

// DefaultTimeout is how long a call into a place may take.
const DefaultTimeout = 10 * time.Second

// Store finds and makes keys in places. It implements ca/upstream's KeyStore and is
// safe for concurrent use.
type Store struct {
	cfg Config
	ctx context.Context // for the places' own clients, which outlive each call

	mu      sync.Mutex
	rooms   map[string]*room   // by the URI of their place
	signers map[string]*signer // by the URI of the place where they were made, and their name there
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
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if err := built(cfg.Place); err != nil {
		return nil, err
	}
	return &Store{cfg: cfg, ctx: ctx, rooms: map[string]*room{}, signers: map[string]*signer{}}, nil
}

// room is the one of a place.
func (s *Store) room(p Place) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[p.text]
	if r == nil {
		r = &room{place: p, limit: s.cfg.Timeout, log: s.cfg.Logger, turn: make(chan struct{}, 1)}
		s.rooms[p.text] = r
	}
	return r
}

// Close leaves all places, but one that hangs stays open. Keys that were read open theirs
// again if they sign.
func (s *Store) Close() error {
	s.mu.Lock()
	rooms := slices.Collect(maps.Values(s.rooms))
	s.mu.Unlock()
	var errs []error
	for _, r := range rooms {
		_, err := enter(context.WithoutCancel(s.ctx), r, func() (struct{}, error) { r.drop(); return struct{}{}, nil })
		if errors.Is(err, ErrHangs) {
			s.cfg.Logger.Warn("place of the root's key left open", "error", err)
			err = nil
		}
		errs = append(errs, err)
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
	in := s.room(s.cfg.Place)
	r, err := enter(s.ctx, in, func() (reference, error) { return s.ensure(in, name) })
	if err != nil {
		return nil, fmt.Errorf("making key %s in %s: %w", name, s.cfg.Place, err)
	}
	return s.signer(r)
}

// ensure is the reference of a key that is there, and of one that it makes if there is none.
func (s *Store) ensure(in *room, name string) (reference, error) {
	r, err := s.read(name)
	if missing(err) || err == nil && r.Place != s.cfg.Place.String() {
		r, err = s.begin(name)
	}
	if err != nil || r.Public != nil {
		return r, err
	}
	return s.make(in, name, r)
}

// make makes the key of a reference, or finds the one that was made before a crash.
func (s *Store) make(in *room, name string, r reference) (reference, error) {
	manager, err := in.open(s.ctx)
	if err != nil {
		return r, err
	}
	public, err := s.found(manager, r)
	if err != nil {
		made, err := manager.CreateKey(&apiv1.CreateKeyRequest{
			Name: r.Key, SignatureAlgorithm: apiv1.ECDSAWithSHA256, ProtectionLevel: s.cfg.Place.level(),
		})
		if err != nil {
			in.drop()
			err = fmt.Errorf("%w: %w", ErrUnavailable, err)
			in.trouble.note(err)
			return r, err
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

// Healthy says why no key could be made now, and since when, as far as is known without
// asking; nil if one could.
func (s *Store) Healthy() (since time.Time, err error) {
	if s.cfg.Place.IsFile() {
		return time.Time{}, nil
	}
	return s.room(s.cfg.Place).health()
}
