package xds

import "slices"

// target is what the client should have under a name now: nil for nothing. ok
// is false when there is something and it must not be sent.
func (s *session) target(w *watch, name string) (r *resource, ok bool) {
	r, ok = s.effective(w, name)
	if r == nil {
		return nil, ok
	}
	switch w.kind {
	case cluster:
		r = s.bridged(r)
	case listener:
		r = s.recycledForm(r)
	}
	return r, ok
}

// effective is the mesh's resource of a name, or what stands in for content
// that is held back from this client's version: what the client accepted last,
// else what others of its version did.
func (s *session) effective(w *watch, name string) (r *resource, ok bool) {
	r = s.lookup(w.kind, name)
	if r == nil || !s.server.holds.held(s.program.version, r) {
		return r, true
	}
	if had := w.have[name].acked; had != nil {
		return had, true
	}
	for _, v := range []*view{s.group.view, s.scope.view} {
		if good := v.lastGood(w.kind, name, s.program.version); good != nil {
			return good, true
		}
	}
	return nil, false
}

// bridged is the cluster to send when a service moves to other identities: while
// the client's endpoints still run as ones that the cluster would drop, it is
// widened by them. Only by identities that the client accepts already, and that
// the service's own endpoints no longer have: one that was taken from the
// service while its pods still run as it is dropped at once, and so is one in
// quarantine.
func (s *session) bridged(desired *resource) *resource {
	if len(desired.ids) == 0 || desired.assignment == "" {
		return desired
	}
	accepted := s.watches[cluster].have[desired.name].acked
	if _, gaveUp := s.narrow[desired.name]; gaveUp || accepted == nil {
		return desired
	}
	e := s.watches[endpoint]
	had := e.have[desired.assignment]
	leaving := without(without(union(had.acked.identities(), had.sent.identities()), desired.ids), s.present(e, desired.assignment))
	leaving = slices.DeleteFunc(within(leaving, accepted.ids), s.server.snap.Load().Denied.Quarantined)
	if len(leaving) == 0 {
		return desired
	}
	wide, err := s.server.catalog.widen(desired, leaving)
	if err != nil {
		s.log.Error("cluster not widened", "error", err)
		return desired
	}
	return wide
}

// present are the identities that the endpoints of an assignment run as now.
func (s *session) present(w *watch, name string) []string {
	r, _ := s.effective(w, name)
	return r.identities()
}

// early says whether endpoints must wait: they run as identities that the
// service may have and the client's cluster does not accept yet. Identities that
// the newest cluster does not accept either are not waited for; they stay
// refused by the client.
func (s *session) early(endpoints *resource) bool {
	c := s.watches[cluster]
	had := c.have[endpoints.name]
	if len(endpoints.ids) == 0 || had.acked == nil || had.acked.hollow() || had.sent == nil {
		return false
	}
	desired, _ := s.effective(c, endpoints.name)
	return len(without(within(endpoints.ids, desired.identities()), within(had.acked.ids, had.sent.ids))) > 0
}

// identities are the resource's IDs; none for nil.
func (r *resource) identities() []string {
	if r == nil {
		return nil
	}
	return r.ids
}
