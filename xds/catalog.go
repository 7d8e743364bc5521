package xds

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// catalog keeps what is built of the newest snapshot: for each scope in use its
// outbound view, for each workload group in use its inbound view.
type catalog struct {
	metrics *metrics
	log     *slog.Logger
	idle    time.Duration
	make    maker

	mu     sync.Mutex // held while anything is built
	snap   *mesh.Snapshot
	scopes map[build.Scope]*scope
	// cache holds the units of hosts that scopes share.
	cache  map[unitID]map[build.Visibility]*unit
	groups map[*mesh.Inbound]*group
	// epoch counts the changes after which no group is what it was.
	epoch atomic.Uint64
}

// group is the inbound side of the workloads that share one *mesh.Inbound.
type group struct {
	inbound *mesh.Inbound
	epoch   uint64
	view    *view
	streams int
	idle    *time.Timer // drops the group; nil while it has streams
}

func newCatalog(m *metrics, log *slog.Logger, idle time.Duration) *catalog {
	return &catalog{
		metrics: m, log: log, idle: idle, make: fromBuild,
		scopes: map[build.Scope]*scope{}, cache: map[unitID]map[build.Visibility]*unit{},
		groups: map[*mesh.Inbound]*group{},
	}
}

// update builds what the change set made dirty in every scope in use, and
// answers what changed in all of them together.
func (c *catalog) update(snap *mesh.Snapshot, ch mesh.ChangeSet) (changed tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.snap
	c.snap = snap
	if old == nil {
		return changed // no scope is built before the first snapshot
	}
	d := dirtOf(old, snap, ch)
	if d.all {
		c.epoch.Add(1)
		clear(c.groups)
		clear(c.cache)
	}
	for id := range d.units {
		delete(c.cache, id)
	}
	if d.empty() {
		return changed
	}
	for _, s := range c.scopes {
		for k, n := range s.rebuild(s.dirty(d), c.unit) {
			changed[k] += n
		}
	}
	return changed
}

// unit is the unit for a scope, shared with the scopes that see the same; nil
// if it could not be built. c.mu is held.
func (c *catalog) unit(id unitID, sc build.Scope) *unit {
	if id.part == ports || id.part == base {
		return c.built(id, sc, build.Visibility{})
	}
	visibility := visible(c.snap, id, sc)
	if u := c.cache[id][visibility]; u != nil {
		return u
	}
	u := c.built(id, sc, visibility)
	if u == nil {
		return nil
	}
	if c.cache[id] == nil {
		c.cache[id] = map[build.Visibility]*unit{}
	}
	c.cache[id][visibility] = u
	return u
}

// visible is what a part of a host takes from the scope. Clusters and endpoints
// take only whether the service is seen and under which rules; denials nothing.
func visible(snap *mesh.Snapshot, id unitID, sc build.Scope) build.Visibility {
	if id.part == denials {
		return build.Visibility{}
	}
	v := build.Visible(snap, sc, id.host)
	if id.part == virtualHosts {
		return v
	}
	return build.Visibility{Service: v.Service, Rules: v.Rules}
}

// acquire is the scope, built if it is new, kept until release.
func (c *catalog) acquire(key build.Scope) *scope {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.scopes[key]
	if s == nil {
		s = newScope(key)
		c.scopes[key] = s
		c.metrics.scopes.Inc()
		ids := map[unitID]struct{}{}
		s.everything(&dirt{new: c.snap}, ids)
		s.rebuild(ids, c.unit)
	}
	s.streams++
	if s.idle != nil {
		s.idle.Stop()
		s.idle = nil
	}
	return s
}

// release gives a scope back; one without streams is dropped after a while.
func (c *catalog) release(s *scope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.streams--; s.streams == 0 {
		s.idle = time.AfterFunc(c.idle, func() { c.drop(s) })
	}
}

// drop forgets a scope and the units that only it used.
func (c *catalog) drop(s *scope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.streams > 0 || c.scopes[s.key] != s {
		return
	}
	delete(c.scopes, s.key)
	c.metrics.scopes.Dec()
	clear(c.cache)
	for _, kept := range c.scopes {
		for id, u := range kept.units {
			if id.part == ports || id.part == base {
				continue
			}
			if c.cache[id] == nil {
				c.cache[id] = map[build.Visibility]*unit{}
			}
			c.cache[id][u.visibility] = u
		}
	}
}

// join is the inbound view of a workload group (nil: of unknown pods), built if
// it is new, kept until leave.
func (c *catalog) join(in *mesh.Inbound) *group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[in]
	if g == nil {
		g = &group{inbound: in, epoch: c.epoch.Load(), view: newView()}
		g.view.replace(nil, c.inbound(in))
		c.groups[in] = g
	}
	g.streams++
	if g.idle != nil {
		g.idle.Stop()
		g.idle = nil
	}
	return g
}

// leave gives a group back after the given time: one that is outdated at once,
// one whose streams ended later, as they may come back.
func (c *catalog) leave(g *group, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.streams--; g.streams > 0 {
		return
	}
	g.idle = time.AfterFunc(after, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if g.streams == 0 && c.groups[g.inbound] == g {
			delete(c.groups, g.inbound)
		}
	})
}

// outdated says whether the group is not what join would answer for in.
func (c *catalog) outdated(g *group, in *mesh.Inbound) bool {
	return g.inbound != in || g.epoch != c.epoch.Load()
}

// current says whether some view has this content now.
func (c *catalog) current(r *resource) bool {
	if r.of != nil {
		r = r.of
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.scopes {
		if now := s.view.get(r.kind, r.name); now != nil && now.version == r.version {
			return true
		}
	}
	for _, g := range c.groups {
		if now := g.view.get(r.kind, r.name); now != nil && now.version == r.version {
			return true
		}
	}
	return false
}
