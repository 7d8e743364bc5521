package agents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

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

// seat is what a pod's name stands for: the newest stream, and what was said last.
type seat struct {
	session *session
	agent   Agent // of no name before anything that was said is stored
}

// Agent is one connected agent, as far as its reports are stored.
type Agent struct {
	Name     string // NAMESPACE/POD
	PodUID   string
	SPIFFEID string
	// Bound: it proved to be this very pod, and not only some pod of its account.
	Bound bool
	// Obedience is nil for an agent that has not said anything of it.
	Obedience *report.Obedience
	// AckedSerial of the SVID that Envoy has acknowledged (lower-case hex), and when;
	// "" before the first. RenewalError is why the last attempt to get another failed.
	AckedSerial  string
	AckedAt      time.Time
	RenewalError string
}

// ErrNotConnected means that no agent of a pod is connected.
var ErrNotConnected = errors.New("not connected")

// NewRegistry makes an empty registry.
func NewRegistry() *Registry {
	return &Registry{sessions: map[string]seat{}, changed: make(chan struct{})}
}

// claim seats the session, in the place of an earlier one of the same pod; false if a
// later one sits there.
func (r *Registry) claim(name string, s *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, taken := r.sessions[name]
	if taken && now.session.number > s.number {
		return false
	}
	now.session = s
	r.sessions[name] = now
	return true
}

// put notes the newest that was said in the name of a pod, if the session still sits there.
func (r *Registry) put(s *session, a Agent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sessions[a.Name].session == s {
		r.sessions[a.Name] = seat{session: s, agent: a}
		r.wake()
	}
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

// find is the session of a pod's agent, or an error that says where to look.
func (r *Registry) find(name string) (*session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[name].session; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: no agent of %s is connected: see `ensign proxy status`", ErrNotConnected, name)
}

// Agents are those that are connected and have reported, in no order, and a
// channel that is closed when one comes, goes or says something.
func (r *Registry) Agents() ([]Agent, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Agent, 0, len(r.sessions))
	for _, s := range r.sessions {
		if s.agent.Name != "" {
			list = append(list, s.agent)
		}
	}
	return list, r.changed
}

// Connected are the agents of [Registry.Agents] by their names, and its channel.
func (r *Registry) Connected() (map[string]Agent, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]Agent, len(r.sessions))
	for name, s := range r.sessions {
		if s.agent.Name != "" {
			all[name] = s.agent
		}
	}
	return all, r.changed
}

// Agent is the connected agent of one pod, false if there is none, and the channel of
// [Registry.Agents].
func (r *Registry) Agent(name string) (Agent, bool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	agent := r.sessions[name].agent
	return agent, agent.Name != "", r.changed
}

// Fetch copies one page of the pod's Envoy's admin port to w.
func (r *Registry) Fetch(ctx context.Context, name string, page ensignv1.EnvoyPage, w io.Writer) error {
	s, err := r.find(name)
	if err != nil {
		return err
	}
	return s.fetch(ctx, page, w)
}

// Renew asks the pod's agent to get another SVID now. What comes of it, [Registry.Agent]
// shows. Errors wrap [ErrNotConnected].
func (r *Registry) Renew(ctx context.Context, name string) error {
	s, err := r.find(name)
	if err != nil {
		return err
	}
	return s.send(ctx, &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_Renew{Renew: &ensignv1.Renew{}}})
}
