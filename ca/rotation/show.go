package rotation

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Status is where everything stands, and a channel that closes when that changes. While
// the population can't be read, LiveSVIDs are those of the last look.
func (m *Manager) Status(ctx context.Context) (*Status, <-chan struct{}, error) {
	s, l, problem, news := m.now()
	if s.running() == nil && (l == nil || l.revision != s.revision || time.Since(l.now) >= often) {
		if fresh, err := m.idleLook(ctx, &question{revision: s.revision, step: Done, now: time.Now()}); err == nil && fresh != nil {
			l = fresh
			m.keep(s, l)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	v := m.view.Load()
	status := &Status{Trust: v.trust}
	for _, a := range s.roots {
		status.Roots = append(status.Roots, m.rootStatus(s, a, l))
	}
	if s.run != nil {
		status.Rotation = s.run.status(v, l, s.revision)
		status.Rotation.Problem = problem
	}
	return status, news, nil
}

func (m *Manager) now() (*state, *look, string, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.look, m.problem, m.news
}

// keep keeps a look that was taken for people, if nothing has happened since.
func (m *Manager) keep(s *state, l *look) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == s {
		m.look = l
	}
}

func (m *Manager) rootStatus(s *state, a *anchor, l *look) RootStatus {
	trusted, signing := s.stand()
	r := RootStatus{
		Fingerprint: a.fingerprint, Certificate: a.root(), Place: a.place, Name: a.name,
		Trusted: slices.Contains(trusted, a), Signing: a == signing, Compromised: a.compromised,
	}
	if l != nil {
		r.LiveSVIDs = l.live[a.fingerprint]
	}
	if r.Trusted || r.Signing || s.returns(a) && !m.revoked(a) {
		r.Problem = m.ailing(a)
		r.ProblemSince = SinceOf(r.Problem)
	}
	return r
}

// returns says whether a rollback would lead to a root.
func (s *state) returns(a *anchor) bool { return s.run != nil && s.run.from == a && !a.compromised }

// ailing is why the place of a root could not have it sign now.
func (m *Manager) ailing(a *anchor) error {
	place := m.cfg.Places[a.place]
	if place == nil {
		return fmt.Errorf("ensignd was not told where %s is: start it with the flags of that place (--%s-…)", a.place, a.place)
	}
	return place.Healthy(a.name)
}

// status is the rotation as people see it, with the gate of the newest look at this state.
func (r *run) status(v *view, l *look, revision uint64) *Rotation {
	out := &Rotation{
		ID: r.id, Options: r.options, Actor: r.actor, From: r.from.fingerprint, Step: r.step, Since: r.since,
		Paused: r.paused, Reversed: r.reversed, Outcome: r.outcome,
	}
	if r.to != nil {
		out.To = r.to.fingerprint
	}
	if r.outcome == running && l != nil && l.step == r.step && l.revision == revision {
		out.Gate = l.gate()
	}
	if r.outcome == running && r.step == Activating {
		out.RenewalsUntil = later(v.told, r.since).Add(r.options.Window)
	}
	for _, e := range r.timeline {
		out.Timeline = append(out.Timeline, e.event())
	}
	return out
}
