package xds

import (
	"time"

	"github.com/ensign-mesh/ensign/xds/build"
)

// scope is the outbound side of all proxies of one namespace that understand
// the same features. Its units belong to the catalog's lock; its view has its own.
type scope struct {
	key   build.Scope
	view  *view
	units map[unitID]*unit

	pulling      map[string]int       // RouteConfigurations that wait for virtual hosts
	filled       map[string]int       // how many virtual hosts each has
	placeholders map[string]*resource // by RouteConfiguration that has none

	streams int
	idle    *time.Timer // drops the scope; nil while it has streams
}

func newScope(key build.Scope) *scope {
	return &scope{
		key: key, view: newView(), units: map[unitID]*unit{},
		pulling: map[string]int{}, filled: map[string]int{}, placeholders: map[string]*resource{},
	}
}

// dirty are the units of this scope that d makes build again.
func (s *scope) dirty(d *dirt) map[unitID]struct{} {
	ids := map[unitID]struct{}{}
	if d.all {
		for id := range s.units {
			ids[id] = struct{}{}
		}
		s.everything(d, ids)
		return ids
	}
	for id := range d.units {
		if id.part != virtualHosts || s.key.VHDS {
			ids[id] = struct{}{}
		}
	}
	if !s.key.VHDS {
		for number := range d.inline {
			ids[unitID{part: ports, port: number}] = struct{}{}
		}
	}
	return ids
}

// everything adds all units that the newest snapshot has for the scope.
func (s *scope) everything(d *dirt, ids map[unitID]struct{}) {
	ids[unitID{part: base}] = struct{}{}
	ids[unitID{part: denials}] = struct{}{}
	for _, number := range build.Ports(d.new, s.key) {
		ids[unitID{part: ports, port: number}] = struct{}{}
	}
	for host := range d.new.Services {
		ids[unitID{part: clusters, host: host}] = struct{}{}
		ids[unitID{part: endpoints, host: host}] = struct{}{}
	}
	if !s.key.VHDS {
		return
	}
	for host := range d.new.Services {
		ids[unitID{part: virtualHosts, host: host}] = struct{}{}
	}
	for host := range d.new.Routes {
		ids[unitID{part: virtualHosts, host: host}] = struct{}{}
	}
}

// rebuild makes the units again and publishes the difference in one piece. It
// answers what changed.
func (s *scope) rebuild(ids map[unitID]struct{}, make func(unitID, build.Scope) *unit) tally {
	var old, new []*resource
	for id := range ids {
		before, after := s.units[id], make(id, s.key)
		if before == after || after == nil { // what can't be built stays as it was
			continue
		}
		if before != nil {
			old = append(old, before.resources...)
			s.count(before.resources, -1)
		}
		new = append(new, after.resources...)
		s.count(after.resources, +1)
		if len(after.resources) == 0 {
			delete(s.units, id)
		} else {
			s.units[id] = after
		}
	}
	gone, added := s.fill()
	return s.view.replace(append(old, gone...), append(new, added...))
}

// count keeps how many virtual hosts each RouteConfiguration has.
func (s *scope) count(resources []*resource, by int) {
	for _, r := range resources {
		switch {
		case r.kind == virtualHost:
			add(s.filled, routeName(r.name), by)
		case r.pulls:
			add(s.pulling, r.name, by)
		}
	}
}

func add(counts map[string]int, key string, by int) {
	if counts[key] += by; counts[key] == 0 {
		delete(counts, key)
	}
}

// fill gives each RouteConfiguration that waits for virtual hosts and has none
// one resource without a body: Envoy's listener waits 15 s for an empty answer.
func (s *scope) fill() (gone, added []*resource) {
	for name, r := range s.placeholders {
		if s.pulling[name] == 0 || s.filled[name] > 0 {
			gone = append(gone, r)
			delete(s.placeholders, name)
		}
	}
	for name := range s.pulling {
		if s.filled[name] == 0 && s.placeholders[name] == nil {
			r := placeholder(virtualHost, name+"/ensign.invalid")
			s.placeholders[name] = r
			added = append(added, r)
		}
	}
	return gone, added
}
