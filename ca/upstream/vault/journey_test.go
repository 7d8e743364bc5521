package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/rotation"
	builtin "github.com/ensign-mesh/ensign/ca/upstream"
)

// empty is a mesh without workloads, and a real CA.
type empty struct{ *ca.Service }

func (empty) Instances(context.Context) ([]rotation.Instance, <-chan struct{}, error) {
	return nil, nil, nil
}
func (empty) RevokeIssuers(context.Context, string, string) error { return nil }

// realLedger gives the set a ledger in a folder, and the keys beside it.
func (s *set) realLedger(t *testing.T, dir string) (*keystore.Store, *ledger.Ledger) {
	t.Helper()
	keys, err := keystore.Open(filepath.Join(dir, "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	led, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(dir, "ledger.db"), Origin: "ensign/cluster.local/ledger", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = led.Close() })
	s.cfg.Ledger = led
	return keys, led
}

// manager is a mesh that began with a built-in root, and knows the Vault of a set.
func (s *set) manager(t *testing.T) (*rotation.Manager, *ca.Service) {
	t.Helper()
	dir := t.TempDir()
	keys, led := s.realLedger(t, dir)
	inside, err := builtin.NewBuiltin(builtin.Config{Dir: dir, TrustDomain: catest.TrustDomain, Keys: keys, Ledger: led})
	if err != nil {
		t.Fatal(err)
	}
	place := s.place(t)
	m, err := rotation.Open(t.Context(), rotation.Config{TrustDomain: catest.TrustDomain, Ledger: led, Dir: dir, FirstPlace: rotation.Builtin,
		First: inside.First, Places: map[string]rotation.Place{rotation.Builtin: inside, rotation.Vault: place}})
	if err != nil {
		t.Fatal(err)
	}
	profile, err := ca.NewProfile(ca.ProfileConfig{})
	if err != nil {
		t.Fatal(err)
	}
	service, err := ca.New(t.Context(), ca.Config{TrustDomain: catest.TrustDomain, Profile: profile, Upstream: m, Ledger: led, Remote: m.Remote, Issuers: keys, LiveIssuers: led.LiveIssuers})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- m.Run(ctx, empty{service}) }()
	go func() { ended <- place.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return m, service
}

// await waits until a rotation's state is as wished.
func await(t *testing.T, m *rotation.Manager, wished func(*rotation.Rotation) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		status, changed, err := m.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if status.Rotation != nil && wished(status.Rotation) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("never: %+v", status.Rotation)
		}
	}
}

func done(r *rotation.Rotation) bool { return r.Step == rotation.Done }

// TestARootMovesIntoVaultAndOn: built in, Vault, Vault's next while Vault is sealed for
// a time, and back; SVIDs verify at each stop, and links lead from root to root.
func TestARootMovesIntoVaultAndOn(t *testing.T) {
	t.Parallel()
	s := newSet(t, "ISSUER=")
	s.cfg.Issuer, s.cfg.Timeout = "", 3*time.Second
	m, service := s.manager(t)
	roots := []*x509.Certificate{m.Signing()}
	begin := func(begin func() error) {
		t.Helper()
		if err := begin(); err != nil {
			t.Fatal(err)
		}
	}
	stop := func(place string) {
		t.Helper()
		await(t, m, done)
		if at, name := m.Place(); at != place || !service.Bundle().Roots()[0].Equal(m.Signing()) {
			t.Fatalf("the root is %s of %s", name, at)
		}
		issue(t, service)
		roots = append(roots, m.Signing())
		if trust, _ := m.Trust(); !linked(trust.Links, roots[len(roots)-2], m.Signing()) {
			t.Errorf("no link of %d leads from root %d to the next", len(trust.Links), len(roots)-1)
		}
	}
	begin(func() error {
		return m.Begin(t.Context(), "test", rotation.Options{Via: rotation.Vault, Window: time.Second})
	})
	stop(rotation.Vault)

	s.vault.Seal(t)
	begin(func() error { return m.Begin(t.Context(), "test", rotation.Options{Window: time.Second}) })
	await(t, m, func(r *rotation.Rotation) bool { return strings.Contains(r.Problem, ErrSealed.Error()) })
	issue(t, service)
	s.vault.Unseal(t)
	stop(rotation.Vault)
	begin(func() error { return m.Rollback(t.Context(), "test", "") })
	stop(rotation.Vault)
	if !roots[3].Equal(roots[1]) || roots[2].Equal(roots[1]) {
		t.Error("the way back leads elsewhere")
	}
}

// linked says whether one of the links leads from one root to another, for a year.
func linked(links []*x509.Certificate, from, to *x509.Certificate) bool {
	for _, link := range links {
		if link.CheckSignatureFrom(from) == nil && string(link.RawSubject) == string(to.RawSubject) &&
			string(link.RawSubjectPublicKeyInfo) == string(to.RawSubjectPublicKeyInfo) && time.Until(link.NotAfter) > 364*24*time.Hour {
			return true
		}
	}
	return false
}

// TestARotationThatVaultDenies stays where it is, says why, and can be called off.
func TestARotationThatVaultDenies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		auth Auth
		want error
	}{"without credentials": {nil, ErrNoRotation}, "with the daily ones": {TokenFile(""), ErrDenied}} {
		t.Run(name, func(t *testing.T) {
			s := newSet(t, "ISSUER=")
			s.cfg.Issuer, s.cfg.RotationAuth = "", c.auth
			if c.auth != nil {
				s.cfg.RotationAuth = s.cfg.Auth
			}
			m, service := s.manager(t)
			before := m.Signing()
			err := m.Begin(t.Context(), "test", rotation.Options{Via: rotation.Vault})
			if err == nil {
				await(t, m, func(r *rotation.Rotation) bool { return strings.Contains(r.Problem, c.want.Error()) })
				if err := m.Rollback(t.Context(), "test", ""); err != nil {
					t.Fatal(err)
				}
				await(t, m, func(r *rotation.Rotation) bool { return r.Outcome != "running" })
			} else if !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			issue(t, service)
			if !m.Signing().Equal(before) {
				t.Error("the root changed")
			}
		})
	}
}
