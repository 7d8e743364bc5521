package rotation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Begin begins a rotation. When it returns nil that is in the ledger, and [Manager.Run]
// does the rest. Errors wrap [ErrBusy] or [ErrRefused].
func (m *Manager) Begin(ctx context.Context, actor string, o Options) error {
	return m.do(ctx, func(s *state) ([]record, error) {
		if err := s.free(); err != nil {
			return nil, err
		}
		o, err := m.complete(s, o)
		if err == nil {
			err = checkText(actor, o.Reason)
		}
		if err != nil {
			return nil, err
		}
		return []record{{verb: begin, actor: actor, id: newID(), detail: detail{Options: &o, From: s.signing().fingerprint, Reason: o.Reason}}}, nil
	})
}

// Pause stops the rotation that runs from taking further steps. Errors wrap [ErrNone].
func (m *Manager) Pause(ctx context.Context, actor, reason string) error {
	return m.steer(ctx, pause, actor, reason, func(r *run) error {
		if r.paused {
			return fmt.Errorf("%w: rotation %s is paused already", ErrRefused, r.id)
		}
		return nil
	})
}

// Resume lets a paused rotation go on. Errors wrap [ErrNone].
func (m *Manager) Resume(ctx context.Context, actor, reason string) error {
	return m.steer(ctx, resume, actor, reason, func(r *run) error {
		if !r.paused {
			return fmt.Errorf("%w: rotation %s is not paused", ErrRefused, r.id)
		}
		return nil
	})
}

func (m *Manager) steer(ctx context.Context, v verb, actor, reason string, check func(*run) error) error {
	if err := checkText(actor, reason); err != nil {
		return err
	}
	return m.do(ctx, func(s *state) ([]record, error) {
		r := s.running()
		if r == nil {
			return nil, ErrNone
		}
		if err := check(r); err != nil {
			return nil, err
		}
		return []record{{verb: v, actor: actor, id: r.id, detail: detail{Reason: reason}}}, nil
	})
}

// Rollback turns the rotation that runs around, or begins another one back from the
// last that was completed. Errors wrap [ErrNone] or [ErrRefused].
func (m *Manager) Rollback(ctx context.Context, actor, reason string) error {
	if err := checkText(actor, reason); err != nil {
		return err
	}
	for {
		s, err := m.catchUp(ctx)
		if s == nil {
			return err
		}
		if r := s.running(); r == nil {
			err = m.back(ctx, s, actor, reason)
		} else if r.reversed {
			return fmt.Errorf("%w: rotation %s goes back already; when that is done, begin another one", ErrRefused, r.id)
		} else {
			err = m.turnAround(ctx, s, actor, reason)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
	}
}

// back begins a rotation to the root before.
func (m *Manager) back(ctx context.Context, s *state, actor, reason string) error {
	last := s.run
	if last == nil || last.outcome != completed {
		return fmt.Errorf("%w, and there is no completed one to go back from", ErrNone)
	}
	if err := m.usable(ctx, last.from); err != nil {
		return fmt.Errorf("%w: nothing goes back to the old root: %w", ErrRefused, err)
	}
	return m.do(ctx, func(now *state) ([]record, error) {
		if now.revision != s.revision {
			return nil, errMoved
		}
		laggards := last.options.Laggards
		if laggards.Policy == Abort && laggards.After <= m.dwell(Distributing) {
			laggards.After = 0 // what it was is not enough any more
		}
		o, err := m.complete(s, Options{Via: last.from.place, Window: last.options.Window, Laggards: laggards, Reason: reason}, last.from.place)
		if err != nil {
			return nil, err
		}
		d := detail{Options: &o, From: s.signing().fingerprint, Root: last.from.ref(), Reason: reason}
		return []record{{verb: begin, actor: actor, id: newID(), detail: d}}, nil
	})
}

// schedule begins a rotation when the root is old enough.
func (m *Manager) schedule(ctx context.Context, s *state, now time.Time) error {
	due, ok := s.due(m.cfg.Every)
	if !ok || now.Before(due) {
		return nil
	}
	return m.Begin(ctx, ensignd, Options{Reason: fmt.Sprintf("scheduled: the root is older than %s", m.cfg.Every)})
}

// due is when the next scheduled rotation begins: so long after the root was made, or
// after the last rotation ended, however it did.
func (s *state) due(every time.Duration) (time.Time, bool) {
	if every <= 0 {
		return time.Time{}, false
	}
	since := s.signing().root().NotBefore
	if s.run != nil {
		since = later(since, s.run.since)
	}
	return since.Add(every), true
}

// free is nil if no rotation runs. Errors wrap [ErrBusy].
func (s *state) free() error {
	r := s.running()
	if r == nil {
		return nil
	}
	return fmt.Errorf("%w: %s, begun by %s, is %s since %s: wait for it, or roll it back", ErrBusy, r.id, r.actor, r.step, clock(r.since))
}

func newID() string { return strings.ToLower(rand.Text()[:10]) }
