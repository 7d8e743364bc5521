package xds

import (
	"slices"
	"time"
)

// answer takes an acknowledgement or a refusal, and says whether it answers a
// response of this stream that was not answered yet. A stale nonce changes nothing.
func (s *session) answer(w *watch, req *request, now time.Time) bool {
	f := w.land(req.nonce, s.sotw)
	if f == nil {
		return false
	}
	if req.failure == nil {
		s.acknowledge(w, f, now)
		return true
	}
	s.server.metrics.nacks.WithLabelValues(w.kind.label()).Inc()
	s.refused(w, f, cut(req.failure.GetMessage()), now)
	return true
}

// acknowledge notes that the client uses what it was sent.
func (s *session) acknowledge(w *watch, f *flight, now time.Time) {
	w.acked = now
	s.server.metrics.acks.WithLabelValues(w.kind.label()).Observe(now.Sub(f.at).Seconds())
	for _, r := range f.resources {
		e, ok := w.have[r.name]
		if !ok {
			continue // let go of meanwhile
		}
		e.acked = r
		w.have[r.name] = e
		r.accept(s.program.version)
		switch w.kind {
		case cluster:
			if r.of == nil {
				delete(s.narrow, r.name)
			}
		case endpoint:
			s.endpointsMoved(r.name)
		}
	}
}

// endpointsMoved looks again at a cluster that was widened for the time of the move.
func (s *session) endpointsMoved(name string) {
	c := s.watches[cluster]
	if sent := c.have[name].sent; sent != nil && sent.of != nil {
		c.markWanted(name)
	}
}

// refused puts the client back to what it had before a response, and keeps the
// culprits from it. What the error does not blame is sent again; when it blames
// nothing, in halves, until the culprit is alone.
func (s *session) refused(w *watch, f *flight, reason string, now time.Time) {
	blamed := culprits(reason, f.resources)
	suspects := fresh(w, f.resources)
	if len(blamed) == 0 && len(suspects) == 1 {
		blamed = suspects
	}
	for _, r := range f.resources {
		s.takeBack(w, r)
	}
	s.log.Warn("configuration refused", "type", w.kind.label(), "resources", len(f.resources), "blamed", names(blamed), "error", reason)
	for _, r := range blamed {
		s.blame(w, r, reason, now)
	}
	rest := names(f.resources)
	if len(blamed) > 0 {
		rest = without(rest, names(blamed))
	}
	for _, name := range rest {
		w.resend(name)
	}
	if len(blamed) == 0 && len(suspects) > 1 {
		half := len(suspects) / 2
		w.suspects = append([][]string{names(suspects[:half]), names(suspects[half:])}, w.suspects...)
	}
}

// fresh is what a response held that the client had not accepted before.
func fresh(w *watch, sent []*resource) []*resource {
	var out []*resource
	for _, r := range sent {
		if had := w.have[r.name].acked; had == nil || had.version != r.version {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return slices.Clone(sent)
	}
	return out
}

// takeBack undoes the sending of one resource.
func (s *session) takeBack(w *watch, r *resource) {
	e, ok := w.have[r.name]
	if !ok {
		return
	}
	e.sent = e.acked
	w.have[r.name] = e
	if e.acked != nil {
		return
	}
	delete(w.have, r.name)
	if w.kind == route {
		s.closeRoute(r.name)
	}
}

// blame keeps one resource from this client until its content changes, and
// reports it: a second identity's refusal keeps it from the whole version.
func (s *session) blame(w *watch, r *resource, reason string, now time.Time) {
	w.settle(r.name)
	w.refused[r.name] = Rejection{Resource: r.name, Version: r.version, Error: reason, Origins: r.origins, At: now}
	s.giveUpWidening(r)
	if r.kind == listener && r.of != nil {
		s.unrecycled = s.recycled
	}
	if s.server.holds.refuse(s.program.version, r, s.caller.Account.String(), reason, now) {
		s.log.Warn("resource held back from this Envoy version", "version", s.program.version, "type", w.kind.label(), "resource", r.name, "origins", r.origins)
		s.server.pokeAll()
	}
}

// overdue stops waiting for responses that the client is silent about, and for
// what lingers. It answers when the next of either will be, or the zero time.
func (s *session) overdue(now time.Time) time.Time {
	var next time.Time
	if now.Before(s.settled()) {
		next = s.settled()
	}
	for _, w := range s.watches {
		if due := w.leave(now); !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
		for _, f := range w.flights {
			due := f.at.Add(s.server.config.AckTimeout)
			switch {
			case f.overdue:
			case now.Before(due):
				if next.IsZero() || due.Before(next) {
					next = due
				}
			default:
				f.overdue = true
				s.silent(f)
			}
		}
	}
	return next
}

// silent moves on in the safe direction: no cluster stays widened for a client
// that does not say that it follows; endpoints stay held.
func (s *session) silent(f *flight) {
	for _, r := range f.resources {
		s.giveUpWidening(r)
	}
}

// giveUpWidening narrows a cluster to what the mesh says, when the client did
// not take it widened, or not the endpoints that it was widened for.
func (s *session) giveUpWidening(r *resource) {
	c := s.watches[cluster]
	sent := c.have[r.name].sent
	if r.kind == cluster && r.of != nil || r.kind == endpoint && sent != nil && sent.of != nil {
		s.narrow[r.name] = struct{}{}
		c.markWanted(r.name)
	}
}

func names(resources []*resource) []string {
	out := make([]string, 0, len(resources))
	for _, r := range resources {
		out = append(out, r.name)
	}
	return out
}
