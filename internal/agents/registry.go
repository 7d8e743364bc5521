package agents

import (
	"context"
	"fmt"
	"io"
	"sync"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Registry holds the connected agents by pod, "NAMESPACE/POD". The mutex guards
// the map only; each session guards itself.
type Registry struct {
	mu       sync.Mutex
	sessions map[string]*session
}

// NewRegistry makes an empty registry.
func NewRegistry() *Registry { return &Registry{sessions: map[string]*session{}} }

func (r *Registry) add(name string, s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[name] = s
}

// remove forgets the session, unless a newer one of the same pod has taken its place.
func (r *Registry) remove(name string, s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[name] == s {
		delete(r.sessions, name)
	}
}

func (r *Registry) find(name string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[name]
}

// Fetch copies one page of the pod's Envoy's admin port to w.
func (r *Registry) Fetch(ctx context.Context, name string, page ensignv1.EnvoyPage, w io.Writer) error {
	s := r.find(name)
	if s == nil {
		return fmt.Errorf("no agent of %s is connected: see `ensign proxy status`", name)
	}
	return s.fetch(ctx, page, w)
}
