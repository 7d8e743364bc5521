package xds

import (
	"log/slog"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// session is one client's stream: who it is, what it wants and has. The
// goroutine that runs the stream is the only one that changes it; mu lets status
// readers look between two events, and is never held while sending.
type session struct {
	server *Server
	log    *slog.Logger
	caller identity.Caller
	sotw   bool
	opened time.Time
	wake   chan struct{} // of capacity 1: something may have changed

	mu      sync.Mutex
	node    node // zero before the first message
	program program
	scope   *scope
	group   *group
	// How far the session has read the logs of its scope and of the holds.
	scopeSeen, holdsSeen uint64

	watches [kinds]*watch
	// returning: the client had a configuration before this stream.
	returning bool
	// narrow are clusters that are not widened any more, though the client's
	// endpoints may lag: it kept silent or refused.
	narrow map[string]struct{}
	// denied is what was last seen of who is cut off.
	denied *mesh.Denied
	// recycled is the revision that the client was last recycled for, unrecycled
	// the one of which it refused that.
	recycled, unrecycled uint64
	// asides answer types that are not served.
	asides []*response
	nonces uint64
}

func newSession(s *Server, caller identity.Caller, sotw bool) *session {
	c := &session{
		server: s, caller: caller, sotw: sotw, opened: time.Now(),
		log:  s.config.Logger.With("spiffe_id", caller.Account.String()),
		wake: make(chan struct{}, 1), narrow: map[string]struct{}{},
	}
	for k := range c.watches {
		c.watches[k] = newWatch(kind(k))
	}
	return c
}

// poke makes the session look for changes, soon.
func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// open takes the node of the first message and gives the session its views.
func (s *session) open(req *request) error {
	n, err := parseNode(req.node.GetId())
	if err != nil {
		return refuse(codes.InvalidArgument, "node", "%v", err)
	}
	snap := s.server.snap.Load()
	w, err := s.server.admit(snap, s.caller, n, time.Now())
	if err != nil {
		return err
	}
	s.node, s.program = n, programOf(req.node)
	s.scope = s.server.catalog.acquire(build.Scope{Namespace: n.pod.Namespace, VHDS: s.program.vhds && !s.sotw})
	s.group = s.server.catalog.join(inboundOf(w))
	s.recycled = s.server.recycledFor(n.pod.String())
	_, s.scopeSeen, _ = s.scope.view.since(0)
	_, s.holdsSeen, _ = s.server.holds.since(0)
	s.log = s.log.With("proxy", n.pod.String())
	s.log.Info("proxy connected", "node_id", n.id, "version", s.program.version, "known", w != nil, "sotw", s.sotw)
	return nil
}

// close gives the views back.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scope != nil {
		s.server.catalog.release(s.scope)
		s.server.catalog.leave(s.group, s.server.config.ScopeIdle)
	}
}

// inboundOf is the workload's inbound side; nil, which denies all, for none.
func inboundOf(w *mesh.Workload) *mesh.Inbound {
	if w == nil {
		return nil
	}
	return w.Inbound
}

// refresh checks the identity against the newest snapshot and marks what changed.
func (s *session) refresh() error {
	if s.scope == nil {
		return nil
	}
	snap := s.server.snap.Load()
	w, err := s.server.admit(snap, s.caller, s.node, time.Now())
	if err != nil {
		return err
	}
	s.regroup(inboundOf(w))
	s.unbridge(snap.Denied)
	s.recycle()
	changes, now, ok := s.scope.view.since(s.scopeSeen)
	s.scopeSeen = now
	s.markAll(changes, ok)
	changes, now, ok = s.server.holds.since(s.holdsSeen)
	s.holdsSeen = now
	s.pardon(changes)
	s.markAll(changes, ok)
	return nil
}

// pardon forgets refusals of content that was released by hand, so that the
// client gets it once more.
func (s *session) pardon(changes []change) {
	for _, c := range changes {
		w := s.watches[c.kind]
		if r, ok := w.refused[c.name]; ok && s.server.holds.free(content{c.kind, c.name, r.Version}) {
			delete(w.refused, c.name)
		}
	}
}

// regroup moves the session to another workload group.
func (s *session) regroup(in *mesh.Inbound) {
	if !s.server.catalog.outdated(s.group, in) {
		return
	}
	before := s.group
	s.group = s.server.catalog.join(in)
	s.group.view.inherit(before.view)
	s.server.catalog.leave(before, 0)
	for _, w := range s.watches {
		before.view.each(w.kind, func(r *resource) { w.markWanted(r.name) })
		s.group.view.each(w.kind, func(r *resource) { w.markWanted(r.name) })
	}
}

// markAll marks the changed names, or everything when the log was too short.
func (s *session) markAll(changes []change, ok bool) {
	for _, c := range changes {
		s.watches[c.kind].markWanted(c.name)
	}
	if ok {
		return
	}
	for _, w := range s.watches {
		s.markEverything(w)
	}
}

// markEverything marks all that the client has or could have of a kind.
func (s *session) markEverything(w *watch) {
	for _, v := range []*view{s.scope.view, s.group.view} {
		v.each(w.kind, func(r *resource) { w.markWanted(r.name) })
	}
	for name := range w.have {
		w.mark(name)
	}
}

// markMissing marks what the client could have of a kind and has not.
func (s *session) markMissing(w *watch) {
	for _, v := range []*view{s.scope.view, s.group.view} {
		v.each(w.kind, func(r *resource) {
			if w.have[r.name].sent != r {
				w.markWanted(r.name)
			}
		})
	}
}

// lookup is the mesh's present resource of a name for this client, or nil.
func (s *session) lookup(k kind, name string) *resource {
	if r := s.group.view.get(k, name); r != nil {
		return r
	}
	return s.scope.view.get(k, name)
}

// nonce is a new one, unique on the stream.
func (s *session) nonce() string {
	s.nonces++
	return strconv.FormatUint(s.nonces, 10)
}
