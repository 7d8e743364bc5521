package rotation

import (
	"context"
	"fmt"
	"time"
)

// seen is when instances were last connected, by name, and in which look that was.
type seen map[string]time.Time

// note takes down who is connected, and forgets who is not there any more.
func (s seen) note(instances []Instance, now time.Time) {
	for n := range instances {
		if i := &instances[n]; i.Connected {
			s[i.Name] = now
		}
	}
	if len(s) <= 2*len(instances) {
		return
	}
	here := make(map[string]bool, len(instances))
	for n := range instances {
		here[instances[n].Name] = true
	}
	for name := range s {
		if !here[name] {
			delete(s, name)
		}
	}
}

// look holds the population against the gate of the step.
func (w *worker) look(ctx context.Context, s *state) (*look, <-chan struct{}, error) {
	instances, changed, err := w.mesh.Instances(ctx)
	if err != nil {
		return nil, changed, fmt.Errorf("reading the population of the gate: %w", err)
	}
	now := time.Now()
	q := s.ask(w.m.view.Load().trust, now, w.m.began())
	if q.after > 0 {
		w.seen.note(instances, now)
	}
	l := q.inspect(instances, w.seen)
	w.m.show(l)
	return l, changed, nil
}

func (m *Manager) began() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.started
}

// show takes over a look for people.
func (m *Manager) show(l *look) {
	m.mu.Lock()
	defer m.mu.Unlock()
	same := l.same(m.look)
	m.look = l
	m.metrics.gate(l)
	if !same {
		m.tell()
	}
}
