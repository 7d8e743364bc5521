package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// prepare makes the new root, or finds the one that an earlier attempt made, has the
// ledger hold it, and then says so. A crash between any two of these leads here again.
func (m *Manager) prepare(ctx context.Context, s *state) error {
	r := s.running()
	to, next, err := m.newRoot(ctx, r)
	if err != nil {
		return err
	}
	if r.to == nil && s.find(to.fingerprint) != nil {
		return fmt.Errorf("%s made no new root, but returned %s", to.place, to)
	}
	if err := m.record(ctx, to); err != nil {
		return err
	}
	d := detail{Root: to.ref()}
	if why := r.options.unlinked(r.from, time.Now()); why == "" {
		signer, err := m.withTurn(ctx, r.from)
		if err != nil {
			return err
		}
		if d.Link, err = m.newLink(ctx, r.from, signer, to, next); err != nil {
			return err
		}
	} else {
		d.Reason = "agents that are away until it is done need the new bundle from a person: " + why
		m.cfg.Logger.WarnContext(ctx, "the old root does not vouch for the new one", slog.String("why", why))
	}
	return m.goOn(ctx, s, []record{{verb: distribute, actor: ensignd, id: r.id, detail: d}})
}

// newRoot makes the root, or opens the one to go back to.
func (m *Manager) newRoot(ctx context.Context, r *run) (*anchor, Root, error) {
	if r.to != nil {
		root, err := m.withTurn(ctx, r.to)
		return r.to, root, err
	}
	place := m.cfg.Places[r.options.Via]
	if place == nil {
		return nil, nil, fmt.Errorf("ensignd was not told where %s is: start it with the flags of that place, or roll back", r.options.Via)
	}
	name := "ensign-" + r.id
	root, err := place.Make(ctx, name)
	if err != nil {
		return nil, nil, fmt.Errorf("making root %s in %s: %w", name, r.options.Via, err)
	}
	a, err := refOf(r.options.Via, name, root.Chain()).anchor()
	if err != nil {
		return nil, nil, err
	}
	if now := time.Now(); a.expired(now) {
		return nil, nil, fmt.Errorf("the new root %s has expired already, at %s", a, clock(a.notAfter()))
	}
	return a, root, nil
}

// record has the ledger hold the root's own entry, once.
func (m *Manager) record(ctx context.Context, a *anchor) error {
	if held, err := m.recorded(ctx, a); held || err != nil {
		return err
	}
	root := a.root()
	if _, err := m.cfg.Ledger.Append(ctx, ca.CertificateEntry(ca.KindRoot, root, root, time.Now())); err != nil {
		return fmt.Errorf("%w: recording the new root: %w", ca.ErrLedger, err)
	}
	return nil
}

// withTurn opens a root for who does not have the turn.
func (m *Manager) withTurn(ctx context.Context, a *anchor) (Root, error) {
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.unlock()
	return m.rootOf(ctx, a)
}

// usable says why a root can not sign, as far as is known without asking it.
func (m *Manager) usable(ctx context.Context, a *anchor) error {
	if err := a.believable(time.Now()); err != nil {
		return err
	}
	if m.revoked(a) {
		return fmt.Errorf("root %s signs SVIDs by issuer %s itself, which is revoked: rotate on to another root, by `ensign ca rotate root`", a, a.serial())
	}
	if _, err := m.withTurn(ctx, a); err != nil {
		return err
	}
	if err := m.cfg.Places[a.place].Healthy(a.name); err != nil {
		return fmt.Errorf("root %s: %w", a, err)
	}
	return nil
}

// turnAround rolls the rotation of a state back. Errors wrap [ErrRefused], or [errMoved].
func (m *Manager) turnAround(ctx context.Context, s *state, actor, reason string) error {
	r := s.running()
	d := detail{Reason: reason}
	if err := m.returnable(ctx, r); err != nil {
		return fmt.Errorf("%w: nothing goes back to the old root: %w", ErrRefused, err)
	}
	if r.step == Retiring {
		// Some know the new root alone already. That it signs this is wished, not needed:
		// it may be what does not work.
		link, err := m.linkBack(ctx, r)
		if err != nil {
			d.Reason = join(reason, "agents that are away until it is done need the bundle from a person")
			m.cfg.Logger.WarnContext(ctx, "the new root does not vouch for the old one", slog.Any("error", err))
		}
		d.Link = link
	}
	return m.do(ctx, func(now *state) ([]record, error) {
		if now.revision != s.revision {
			return nil, errMoved
		}
		return []record{{verb: rollback, actor: actor, id: r.id, detail: d}}, nil
	})
}

// returnable says why a rotation can not be turned around. Where the old root signs still,
// nothing more is asked of it than before.
func (m *Manager) returnable(ctx context.Context, r *run) error {
	switch r.step {
	case Preparing:
		return nil
	case Distributing:
		return r.from.believable(time.Now())
	}
	return m.usable(ctx, r.from)
}

// linkLimit bounds how long a rollback waits for its link.
const linkLimit = 15 * time.Second

func (m *Manager) linkBack(ctx context.Context, r *run) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, linkLimit)
	defer cancel()
	if why := r.to.linkable(time.Now()); why != "" {
		return nil, errors.New(why)
	}
	signer, err := m.withTurn(ctx, r.to)
	if err != nil {
		return nil, err
	}
	old, err := m.withTurn(ctx, r.from)
	if err != nil {
		return nil, err
	}
	return m.newLink(ctx, r.to, signer, r.from, old)
}

// revoked says whether a root signs SVIDs itself and must not.
func (m *Manager) revoked(a *anchor) bool {
	return a.ca().MaxPathLenZero && m.cfg.Revoked != nil && m.cfg.Revoked(a.serial())
}
