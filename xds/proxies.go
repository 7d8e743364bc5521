package xds

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ensign-mesh/ensign/xds/build"
)

// Proxies are the connected clients that have said who they are, sorted by name.
func (s *Server) Proxies() []ProxyStatus {
	var all []ProxyStatus
	for _, c := range s.open() {
		if status, ok := c.status(); ok {
			all = append(all, status)
		}
	}
	slices.SortFunc(all, func(a, b ProxyStatus) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), a.ConnectedAt.Compare(b.ConnectedAt))
	})
	return all
}

// Holds are all holds in force, sorted by resource.
func (s *Server) Holds() []Hold { return s.holds.list() }

// Release ends the holds of the resources of this name, whatever their type and
// Envoy version, and answers them. Their content is not held again, and is sent
// once more to the clients that refused it.
func (s *Server) Release(resource string) []Hold {
	ended := s.holds.release(resource)
	s.pokeAll()
	return ended
}

// open is the sessions of now.
func (s *Server) open() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.sessions))
}

// find is the newest session of a proxy, named NAMESPACE/POD.
func (s *Server) find(name string) (*session, error) {
	var newest *session
	for _, c := range s.open() {
		c.mu.Lock()
		match := c.scope != nil && c.node.pod.String() == name
		c.mu.Unlock()
		if match && (newest == nil || c.opened.After(newest.opened)) {
			newest = c
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("%s: %w", name, ErrNotConnected)
	}
	return newest, nil
}

// status is how the session stands; false before it has said who it is.
func (s *session) status() (ProxyStatus, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scope == nil {
		return ProxyStatus{}, false
	}
	p := ProxyStatus{
		Name: s.node.pod.String(), SPIFFEID: s.caller.Account.String(), Bound: s.caller.Pod != "", NodeID: s.node.id,
		EnvoyVersion: s.program.version, ConnectedAt: s.opened, DenyAcked: s.denyAcked(),
	}
	for _, w := range s.watches {
		if w.asked {
			p.Types = append(p.Types, w.status())
		}
	}
	return p, true
}

// denyAcked says whether the client uses the newest denials.
func (s *session) denyAcked() bool {
	w, asked := s.watches[extension], false
	for _, name := range []string{build.RevokedHTTP, build.RevokedTCP} {
		if !w.wants(name) {
			continue // it has no chain with this filter; one that comes denies all until it is filled
		}
		asked = true
		now, had := s.lookup(extension, name), w.have[name].acked
		if now == nil || had == nil || had.version != now.version {
			return false
		}
	}
	return asked
}

// status is how one kind stands.
func (w *watch) status() TypeStatus {
	t := TypeStatus{TypeURL: w.kind.url(), State: Synced, Resources: len(w.have), AckedAt: w.acked}
	for _, name := range slices.Sorted(maps.Keys(w.refused)) {
		t.Rejections = append(t.Rejections, w.refused[name])
	}
	switch {
	case len(t.Rejections) > 0:
		t.State = Nacked
	case len(w.flights) > 0 || len(w.dirty) > 0 || len(w.suspects) > 0 || w.more:
		t.State = Stale
	}
	return t
}
