package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

const (
	// A look at the population rests for so long, and for so long for each instance, at
	// most for [often]; it never takes more than a fifth of the time.
	rest    = 50 * time.Millisecond
	restOne = 100 * time.Microsecond
	often   = time.Second
	// idle is how often the clock is looked at while no rotation runs.
	idle = time.Minute
	// actLimit bounds one attempt at what a step does; between two lies a pause that grows.
	actLimit = time.Minute
	// endLimit is how long an attempt may take to end when its time is over.
	endLimit = 5 * time.Second
)

// errStuck: an attempt does not end.
var errStuck = errors.New("the place of a root has not answered for so long that it may never do so: look after it, or restart ensignd")

// worker carries rotations on. Only Run's goroutine touches it.
type worker struct {
	m    *Manager
	mesh Mesh
	seen seen
	// revoked is the sequence of the trust for which the old issuers were revoked.
	revoked uint64
	// stuck is an attempt that has not ended though its time is over.
	stuck <-chan error
	// acts are those of the state with this revision, writes what was decided on it.
	acts, writes patience
	revision     uint64
}

// Run carries rotations on until ctx ends, and returns its error. Call it once.
func (m *Manager) Run(ctx context.Context, mesh Mesh) error {
	m.mu.Lock()
	m.mesh, m.started = mesh, time.Now()
	m.mu.Unlock()
	w := &worker{m: m, mesh: mesh, seen: seen{}}
	for ctx.Err() == nil {
		began := time.Now()
		m.mu.Lock()
		moved := m.moved
		m.mu.Unlock()
		changed, pause := w.round(ctx)
		sleep(ctx, pause, moved, nil)
		if left := often - time.Since(began); m.busy() {
			sleep(ctx, left, moved, changed)
		} else {
			sleep(ctx, idle, moved, nil)
		}
	}
	return ctx.Err()
}

// sleep ends early with ctx or any of the channels.
func sleep(ctx context.Context, d time.Duration, moved, changed <-chan struct{}) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-moved:
	case <-changed:
	case <-timer.C:
	}
}

// busy says whether there is anything to do before long.
func (m *Manager) busy() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.running() != nil || m.stale != nil || m.view.Load().state != m.state || m.problem != ""
}

// round does what the state asks for now. It answers when the population changes, and
// how long its look at that is to rest.
func (w *worker) round(ctx context.Context) (changed <-chan struct{}, pause time.Duration) {
	s, err := w.m.catchUp(ctx)
	if s == nil || err != nil && s.running() == nil {
		w.m.report(ctx, s, err)
		return nil, rest
	}
	if s.revision != w.revision {
		w.acts, w.writes, w.revision = patience{}, patience{}, s.revision
	}
	if s.running() == nil {
		w.m.report(ctx, s, w.writes.attempt(func() error { return w.m.schedule(ctx, s, time.Now()) }))
		return nil, rest
	}
	done := false
	if err == nil {
		done, err = w.own(ctx, s)
	}
	began := time.Now()
	l, changed, lookErr := w.look(ctx, s)
	pause = max(rest, 4*time.Since(began))
	able, ableErr := w.m.able(ctx, s)
	err = errors.Join(err, lookErr, ableErr)
	if records := s.decide(l, time.Now(), done, able); len(records) > 0 {
		err = errors.Join(err, w.writes.attempt(func() error { return w.m.goOn(ctx, s, records) }))
	}
	w.m.report(ctx, s, err)
	if l != nil {
		pause = max(pause, min(time.Duration(len(l.instances))*restOne, often))
	}
	return changed, pause
}

// own does what the step itself has to do, and says whether that is done and was told
// for long enough.
func (w *worker) own(ctx context.Context, s *state) (done bool, err error) {
	r, v := s.running(), w.m.view.Load()
	switch {
	case r.step == Preparing && !r.paused:
		return false, w.act(ctx, func(ctx context.Context) error { return w.m.prepare(ctx, s) })
	case r.step == Activating && !w.m.isSettled(s):
		err = w.act(ctx, w.mesh.Settle)
		if err == nil {
			err = w.m.settle(ctx, s)
		}
		if err != nil {
			return false, fmt.Errorf("having an issuer of the new root sign: %w", err)
		}
	case r.step == Retiring && r.from.compromised && w.revoked != s.sequence:
		if err := w.act(ctx, func(ctx context.Context) error {
			return w.mesh.RevokeIssuers(ctx, r.from.fingerprint, "its root was compromised: rotation "+r.id)
		}); err != nil {
			return false, fmt.Errorf("revoking the issuers of the old root: %w", err)
		}
		w.revoked = s.sequence
	}
	return w.m.view.Load() == v && time.Since(v.told) >= w.m.dwell(r.step), nil
}

// dwell is how long a step is told at least.
func (m *Manager) dwell(step Step) time.Duration {
	if step == Distributing {
		return max(dwell, m.cfg.Visible)
	}
	return dwell
}

// act is one bounded attempt. It ends early when the state moves: somebody has turned
// the rotation around. A place may know no context (a PKCS#11 module does not): then
// nothing else is attempted before it has answered.
func (w *worker) act(ctx context.Context, do func(context.Context) error) error {
	return w.acts.attempt(func() error {
		select {
		case <-w.stuck:
			w.stuck = nil
		default:
			if w.stuck != nil {
				return errStuck
			}
		}
		ctx, cancel := context.WithTimeout(ctx, actLimit)
		defer cancel()
		w.m.mu.Lock()
		moved := w.m.moved
		w.m.mu.Unlock()
		ended := make(chan error, 1)
		go func() { ended <- do(ctx) }()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
		case <-moved:
			cancel()
		}
		select {
		case err := <-ended:
			return err
		case <-time.After(endLimit):
			w.stuck = ended
			return errStuck
		}
	})
}

// catchUp is the newest state, with an error if it is not in force.
func (m *Manager) catchUp(ctx context.Context) (*state, error) {
	if err := m.lock(ctx); err != nil {
		return nil, err
	}
	defer m.unlock()
	s, err := m.fresh(ctx)
	if err != nil {
		return nil, err
	}
	if v := m.view.Load(); v.state == s && v.settled == m.isSettled(s) {
		return s, nil
	}
	return s, m.publish(ctx)
}

// isSettled says whether an issuer of the root that signs does, as far as this process knows.
func (m *Manager) isSettled(s *state) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settled == s.sequence
}

// settle has everybody told to live on the new root.
func (m *Manager) settle(ctx context.Context, s *state) error {
	if err := m.lock(ctx); err != nil {
		return err
	}
	defer m.unlock()
	m.mu.Lock()
	m.settled = s.sequence
	m.mu.Unlock()
	return m.publish(ctx)
}

// able says whether the root that is to sign next can, as far as is known.
func (m *Manager) able(ctx context.Context, s *state) (bool, error) {
	r := s.running()
	if r.step != Distributing {
		return true, nil
	}
	if err := m.usable(ctx, r.to); err != nil {
		return false, fmt.Errorf("the root that is to sign next can't: %w", err)
	}
	return true, nil
}

// goOn writes what was decided, if the state is still the one it was decided on.
func (m *Manager) goOn(ctx context.Context, s *state, records []record) error {
	if records[0].verb == rollback {
		return m.turnAround(ctx, s, ensignd, records[0].Reason)
	}
	return m.do(ctx, func(now *state) ([]record, error) {
		if now.revision != s.revision {
			return nil, errMoved
		}
		return records, nil
	})
}

// report shows what goes wrong with a state (nil: with reading it); without an error
// nothing does. Of a state that has moved on nobody wants to know.
func (m *Manager) report(ctx context.Context, s *state, err error) {
	problem := ""
	if err != nil {
		problem = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.problem == problem || s != nil && s != m.state || ctx.Err() != nil {
		return
	}
	if m.problem = problem; problem != "" {
		m.cfg.Logger.WarnContext(ctx, "rotation of the root does not go on: tried again", slog.String("problem", problem))
	}
	m.metrics.trouble(problem)
	m.tell()
}
