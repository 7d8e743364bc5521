package agents

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/ensign-mesh/ensign/ca/report"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Registry holds the connected agents by pod, "NAMESPACE/POD". The mutex guards
// the map only; each session guards itself.
type Registry struct {
	mu       sync.Mutex
	sessions map[string]seat
	changed  chan struct{}
}

// seat is what a pod's name stands for: the newest stream, and what it said.
type seat struct {
	session *session
	agent   Agent
}

// Agent is one connected agent, as far as its reports are stored.
type Agent struct {
	Name     string // NAMESPACE/POD
	SPIFFEID string
	// Obedience is nil for an agent that has not said anything of it.
	Obedience *report.Obedience
}

// NewRegistry makes an empty registry.
func NewRegistry() *Registry {
	return &Registry{sessions: map[string]seat{}, changed: make(chan struct{})}
}

// put seats the session, in the place of an older one of the same pod, with the
// newest that it said.
func (r *Registry) put(s *session, a Agent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[a.Name] = seat{session: s, agent: a}
	r.wake()
}

// remove forgets the session, unless a newer one of the same pod has taken its place.
func (r *Registry) remove(name string, s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[name].session == s {
		delete(r.sessions, name)
		r.wake()
	}
}

// wake tells everybody who waits; mu is held.
func (r *Registry) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *Registry) find(name string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[name].session
}

// Agents are those that are connected and have reported, in no order, and a
// channel that is closed when one comes, goes or says something.
func (r *Registry) Agents() ([]Agent, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Agent, 0, len(r.sessions))
	for _, s := range r.sessions {
		list = append(list, s.agent)
	}
	return list, r.changed
}

// Fetch copies one page of the pod's Envoy's admin port to w.
func (r *Registry) Fetch(ctx context.Context, name string, page ensignv1.EnvoyPage, w io.Writer) error {
	s := r.find(name)
	if s == nil {
		return fmt.Errorf("no agent of %s is connected: see `ensign proxy status`", name)
	}
	return s.fetch(ctx, page, w)
}
