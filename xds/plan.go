package xds

import "time"

// chunk is how large a response may grow, in bytes: gRPC clients take 4 MiB.
const chunk = 3 << 20

// step is the verdict on one name.
type step int

const (
	done   step = iota // nothing to send
	wait               // something, not yet
	send               // the resource
	again              // the resource, and another one later
	remove             // the name
)

// next is the next response to send, or nil. Types are looked at in the order
// in which Envoy needs them, and each waits for the answers that it builds on.
// What a look at a later type found nothing to send for may have been all that
// an earlier one's removals waited for, and no answer will come to say so: so
// long as there is less work than before, all are looked at again.
func (s *session) next(now time.Time) (*response, kind) {
	if len(s.asides) > 0 {
		r := s.asides[0]
		s.asides = s.asides[1:]
		return r, -1
	}
	for before := -1; before != s.work(); {
		before = s.work()
		for _, w := range s.watches {
			if !w.asked || !s.mayAdd(w) || w.kind >= listener && s.behind() {
				continue
			}
			if r := s.plan(w, now); r != nil {
				return r, w.kind
			}
		}
	}
	return nil, -1
}

// work counts the names to look at, of all kinds.
func (s *session) work() int {
	n := 0
	for _, w := range s.watches {
		n += len(w.dirty)
	}
	return n
}

// plan makes the response that brings the client nearer to what it should have.
func (s *session) plan(w *watch, now time.Time) *response {
	w.more = false
	var adds []*resource
	var removals []string
	for {
		adds, removals = s.collect(w, now)
		suspects := len(w.suspects) > 0
		if suspects {
			w.suspects = w.suspects[1:]
		}
		if len(adds)+len(removals) > 0 || !suspects {
			break
		}
	}
	if len(adds)+len(removals) == 0 && (w.answered || len(w.dirty) > 0 || !w.wildcard && !s.sotw) {
		return nil
	}
	return s.launch(w, adds, removals, now)
}

// launch notes the response as sent.
func (s *session) launch(w *watch, adds []*resource, removals []string, now time.Time) *response {
	r := &response{typeURL: w.kind.url(), nonce: s.nonce(), sotw: s.sotw, resources: adds, removed: removals}
	f := &flight{nonce: r.nonce, resources: adds, at: now}
	for _, name := range removals {
		s.letGo(w, name)
	}
	opened := s.opening(w, adds)
	w.launch(f)
	for _, name := range opened {
		s.openRoute(name)
	}
	if w.kind == cluster {
		s.owe(adds)
	}
	if s.sotw {
		r.version = stateVersion(w.held())
		if w.kind.byState() {
			r.resources = w.held()
			f.resources = r.resources
		}
	}
	return r
}

// opening are the routes among adds that the client does not have yet.
func (s *session) opening(w *watch, adds []*resource) []string {
	if w.kind != route {
		return nil
	}
	var opened []string
	for _, r := range adds {
		if _, ok := w.have[r.name]; !ok {
			opened = append(opened, r.name)
		}
	}
	return opened
}

// owe marks the endpoints of clusters that were just sent: Envoy keeps a changed
// cluster warming, and serves the old one, until it gets its endpoints again. A
// client that has not asked for them yet gets them when it does.
func (s *session) owe(clusters []*resource) {
	e := s.watches[endpoint]
	for _, c := range clusters {
		if c.assignment == "" {
			continue
		}
		e.force[c.assignment] = struct{}{}
		e.markWanted(c.assignment)
	}
}

// collect decides the names that there is work for.
func (s *session) collect(w *watch, now time.Time) (adds []*resource, removals []string) {
	size := 0
	for _, name := range w.work() {
		verdict, r := s.decide(w, name, now)
		if (verdict == send || verdict == again) && size > 0 && size+r.delta.Len() > chunk && !(s.sotw && w.kind.byState()) {
			w.more = true
			break
		}
		switch verdict {
		case done:
			w.settle(name)
		case send:
			w.settle(name)
			adds = append(adds, r)
			size += r.delta.Len()
		case again:
			delete(w.force, name)
			adds = append(adds, r)
			size += r.delta.Len()
		case remove:
			w.settle(name)
			removals = append(removals, name)
		}
	}
	return adds, removals
}

// decide says what is to be done about one name.
func (s *session) decide(w *watch, name string, now time.Time) (step, *resource) {
	if !w.wants(name) || w.kind == virtualHost && !s.openedRoute(name) {
		return done, nil
	}
	_, forced := w.force[name]
	had := w.have[name]
	s.outlived(w, name)
	want, ok := s.target(w, name)
	switch {
	case !ok:
		return done, nil
	case want == nil:
		return s.decideGone(w, name, forced, now), nil
	}
	delete(w.leaving, name)
	switch {
	case w.refused[name].Version == want.version:
		return done, nil
	case had.sent != nil && had.sent.version == want.version && !forced, want.hollow():
		return done, nil
	case w.kind == endpoint && had.sent != nil && s.early(want):
		if forced && !had.sent.hollow() {
			return again, had.sent
		}
		return wait, nil
	}
	return send, want
}

// outlived forgets a refusal when the mesh has other content by now.
func (s *session) outlived(w *watch, name string) {
	refused, ok := w.refused[name]
	if !ok {
		return
	}
	if now := s.lookup(w.kind, name); now == nil || now.version != refused.Version {
		delete(w.refused, name)
	}
}

// decideGone says what is to be done about a name that the mesh does not have.
func (s *session) decideGone(w *watch, name string, forced bool, now time.Time) step {
	switch {
	case forced && !s.sotw:
		return remove
	case w.have[name].sent == nil:
		return done
	case w.kind == endpoint && s.watches[cluster].asked:
		return done // the client lets go of it together with the cluster
	case !s.mayRemove(w, now):
		return wait
	case !w.lingered(name, now):
		return done
	case s.sotw && !w.kind.byState():
		s.letGo(w, name) // this protocol can't say it
		return done
	}
	return remove
}
