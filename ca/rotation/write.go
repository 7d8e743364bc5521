package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// errMoved: the state is another one than was decided on.
var errMoved = errors.New("the rotation has moved on meanwhile")

// do writes what decide makes of the newest state, and takes it over. When it returns
// nil that is in the ledger. Nothing takes effect before it was read back from there.
func (m *Manager) do(ctx context.Context, decide func(*state) ([]record, error)) error {
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.unlock()
	s, err := m.fresh(ctx)
	if err != nil {
		return err
	}
	records, err := decide(s)
	if err != nil || len(records) == 0 {
		return err
	}
	// From here on it is done to the end, whoever has gone away meanwhile.
	ctx = context.WithoutCancel(ctx)
	written, err := m.append(ctx, s.revision, records)
	if err != nil {
		// It may be in the ledger all the same.
		m.doubt(err)
		return err
	}
	if s, err = m.read(ctx); err != nil {
		m.doubt(err)
		return fmt.Errorf("it is in the ledger, and takes effect as soon as that can be read: %w", err)
	}
	m.take(s)
	if s.revision != written {
		return fmt.Errorf("%w: another process writes into the same ledger", ErrBusy)
	}
	for _, r := range records {
		m.cfg.Logger.InfoContext(ctx, "rotation of the root", slog.String("verb", string(r.verb)), slog.String("rotation", r.id),
			slog.String("actor", r.actor), slog.String("detail", r.event().Detail), slog.Uint64("revision", s.revision))
	}
	if err := m.publish(ctx); err != nil {
		if m.view.Load() == nil {
			return err
		}
		m.cfg.Logger.ErrorContext(ctx, "the new state of the roots is not in force yet: tried again", slog.Any("error", err))
	}
	return nil
}

// append writes records one behind another and returns the revision after the last.
func (m *Manager) append(ctx context.Context, prior uint64, records []record) (uint64, error) {
	for _, r := range records {
		r.time, r.Prior = time.Now(), prior
		e, err := r.entry()
		if err != nil {
			return 0, err
		}
		index, err := m.cfg.Ledger.Append(ctx, e)
		if err != nil {
			return 0, fmt.Errorf("%w: recording %s of the rotation: %w", ca.ErrLedger, r.verb, err)
		}
		prior = index + 1
	}
	return prior, nil
}

// read folds the ledger.
func (m *Manager) read(ctx context.Context) (*state, error) {
	entries, err := m.cfg.Ledger.Rotations(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading rotations of the root from the ledger: %w", err)
	}
	return fold(entries)
}

// fresh is the newest state. The caller has the turn.
func (m *Manager) fresh(ctx context.Context) (*state, error) {
	m.mu.Lock()
	s, stale := m.state, m.stale
	m.mu.Unlock()
	if stale == nil {
		return s, nil
	}
	s, err := m.read(ctx)
	if err != nil {
		return nil, err
	}
	m.take(s)
	return s, nil
}

// take makes a state the one that is known.
func (m *Manager) take(s *state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.state
	m.stale = nil
	if old.revision == s.revision {
		return
	}
	m.state, m.problem = s, ""
	m.metrics.trouble("")
	close(m.moved)
	m.moved = make(chan struct{})
	m.metrics.step(old, s)
	m.tell()
}

// publish puts the state in force: bundle.pem first, then everybody. The caller has the turn.
func (m *Manager) publish(ctx context.Context) error {
	m.mu.Lock()
	s, settled := m.state, m.settled == m.state.sequence
	m.mu.Unlock()
	a := s.signing()
	signer, err := m.rootOf(ctx, a)
	if err != nil {
		return err
	}
	now := time.Now()
	old := m.view.Load()
	var before *Trust
	if old != nil {
		before = old.trust
	}
	trust, err := s.trust(settled, before, now)
	if err != nil {
		return err
	}
	if err := writeBundle(m.cfg.Dir, trust.Bundle); err != nil {
		return fmt.Errorf("writing the roots for people and agents: %w", err)
	}
	next := &view{state: s, settled: settled, anchor: a, signer: signer, trust: trust, told: now, changed: make(chan struct{}), parents: s.parents()}
	same := before.same(trust)
	if same {
		next.trust, next.told, next.changed = old.trust, old.told, old.changed
	}
	m.view.Store(next)
	m.metrics.roots(s)
	if old != nil && !same {
		close(old.changed)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tell()
	return nil
}

// rootOf opens a root, once. The caller has the turn.
func (m *Manager) rootOf(ctx context.Context, a *anchor) (Root, error) {
	if r := m.opened[a.fingerprint]; r != nil {
		return r, nil
	}
	place := m.cfg.Places[a.place]
	if place == nil {
		return nil, fmt.Errorf("root %s lives in %s, and ensignd was not told where that is: start it with the flags of that place (--%s-…)", a, a.place, a.place)
	}
	r, err := place.Open(ctx, a.name, a.chain)
	if err != nil {
		return nil, fmt.Errorf("opening root %s: %w", a, err)
	}
	again, err := refOf(a.place, a.name, r.Chain()).anchor()
	if err != nil || again.fingerprint != a.fingerprint || !again.ca().Equal(a.ca()) {
		return nil, errors.Join(fmt.Errorf("opening root %s: %s returned another one", a, a.place), err)
	}
	m.opened[a.fingerprint] = r
	return r, nil
}

// recorded says whether the ledger has a root's own entry.
func (m *Manager) recorded(ctx context.Context, a *anchor) (bool, error) {
	roots, err := m.cfg.Ledger.Roots(ctx)
	if err != nil {
		return false, fmt.Errorf("reading the roots of the ledger: %w", err)
	}
	for _, e := range roots {
		if e.Certificate == a.fingerprint {
			return true, nil
		}
	}
	return false, nil
}

func (m *Manager) lock(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *Manager) unlock() { <-m.turn }

// doubt has the ledger read again before anything else.
func (m *Manager) doubt(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stale = err
	close(m.moved)
	m.moved = make(chan struct{})
}

// tell wakes who waits for Status. The caller holds mu.
func (m *Manager) tell() {
	close(m.news)
	m.news = make(chan struct{})
}
