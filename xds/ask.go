package xds

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"
)

// handle takes one request: who it is from, what it answers, what it wants.
// paid says whether it answers a response of ours; any other request costs the
// client of its rate.
func (s *session) handle(req *request, now time.Time) (paid bool, err error) {
	if err := s.identify(req, now); err != nil {
		return false, err
	}
	k, ok := kindOf(req.typeURL)
	if !ok {
		s.aside(req)
		return false, nil
	}
	w := s.watches[k]
	landed := req.nonce != "" && s.answer(w, req, now)
	if s.sotw {
		if w.asked && req.nonce != "" && req.nonce != w.nonce {
			return false, nil // stale: the answer to the newest response will say it all
		}
		err = s.askState(w, req)
	} else {
		err = s.askDelta(w, req)
	}
	return landed && req.failure == nil, err
}

// identify holds the client to what it was proven to be.
func (s *session) identify(req *request, now time.Time) error {
	if s.scope == nil {
		return s.open(req)
	}
	if id := req.node.GetId(); id != "" && id != s.node.id {
		return refuse(codes.PermissionDenied, "node_changed", "node.id changed from %q to %.1024q in one stream; open a stream for each node", s.node.id, id)
	}
	_, err := s.server.admit(s.server.snap.Load(), s.caller, s.node, now)
	return err
}

// aside answers a type that is not served: with nothing, so that the stream lives.
func (s *session) aside(req *request) {
	if req.nonce != "" {
		return
	}
	s.server.metrics.unknown.WithLabelValues(stranger(req.typeURL)).Inc()
	if len(s.asides) < 16 && len(req.typeURL) <= maxName {
		s.asides = append(s.asides, &response{typeURL: req.typeURL, nonce: s.nonce(), sotw: s.sotw})
	}
}

// askDelta takes the subscriptions of a delta request.
func (s *session) askDelta(w *watch, req *request) error {
	first := !w.asked
	w.asked = true
	if first {
		w.wildcard = len(req.subscribe) == 0 && w.kind.legacyWildcard()
	}
	for _, name := range req.unsubscribe {
		s.unsubscribe(w, name)
	}
	for _, name := range req.subscribe {
		if name == "*" {
			w.wildcard = true
			continue
		}
		w.names[name] = struct{}{}
		if _, brought := req.initial[name]; !first || !brought {
			w.resend(name)
		}
	}
	if first {
		if err := s.adopt(w, req.initial); err != nil {
			return err
		}
		s.markMissing(w)
	} else if slices.Contains(req.subscribe, "*") {
		s.markEverything(w)
	}
	return s.bounded(w)
}

// adopt believes the versions that a reconnecting client brought, and marks
// what differs from them.
func (s *session) adopt(w *watch, initial map[string]string) error {
	if len(initial) == 0 {
		return nil
	}
	unknown := 0
	w.answered, s.returning = true, true
	w.have = make(map[string]entry, len(initial))
	for name, version := range initial {
		if !w.wants(name) {
			continue
		}
		r := s.lookup(w.kind, name)
		_, forced := w.force[name]
		if r == nil {
			unknown++
		}
		if unknown > s.server.config.MaxNames {
			return refuse(codes.ResourceExhausted, "subscriptions", "more than %d names of %s in initial_resource_versions do not exist", s.server.config.MaxNames, w.kind.url())
		}
		if r == nil || r.version != version {
			r = heldAs(w.kind, name, version)
			forced = true
		}
		if forced {
			w.mark(name)
		}
		w.have[name] = entry{acked: r, sent: r}
		if w.kind == route {
			s.openRoute(name)
		}
	}
	return nil
}

// unsubscribe lets go of a name.
func (s *session) unsubscribe(w *watch, name string) {
	if name == "*" {
		w.wildcard = false
		for had := range w.have {
			if !w.wants(had) {
				s.letGo(w, had)
			}
		}
		return
	}
	if _, ok := w.names[name]; !ok {
		return
	}
	delete(w.names, name)
	if w.wildcard {
		w.resend(name) // still wanted: the protocol asks for an answer
		return
	}
	s.letGo(w, name)
}

// letGo forgets a name that the client no longer has.
func (s *session) letGo(w *watch, name string) {
	w.forget(name)
	switch w.kind {
	case route:
		s.closeRoute(name)
	case cluster:
		delete(s.narrow, name)
	}
}

// bounded refuses a client that subscribes to more than a mesh can hold.
func (s *session) bounded(w *watch) error {
	c := s.server.config
	if len(w.names) > c.MaxNames {
		return refuse(codes.ResourceExhausted, "subscriptions", "%d subscriptions to %s; at most %d are taken", len(w.names), w.kind.url(), c.MaxNames)
	}
	if len(w.names) <= c.MaxUnknown {
		return nil
	}
	unknown := 0
	for name := range w.names {
		if s.lookup(w.kind, name) == nil {
			unknown++
		}
	}
	if unknown > c.MaxUnknown {
		return refuse(codes.ResourceExhausted, "subscriptions", "subscriptions to %d names of %s that do not exist; at most %d are taken", unknown, w.kind.url(), c.MaxUnknown)
	}
	return nil
}
