package xds

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ensign-mesh/ensign/xds/build"
)

// quorum is how many identities of one version must refuse content before it is
// held back from the others: one broken or hostile proxy decides for itself only.
const quorum = 2

// holdable says whether content may be held back from a version at all. The two
// listeners that take captured traffic may not: without them a proxy serves
// nothing, so that a fault which an error blames on them, of another resource
// maybe, would cut off every pod. Nor may the denials: two thieves could keep
// what cuts them off from everybody. Who refuses them is NACKED, alone.
func holdable(r *resource) bool {
	switch r.kind {
	case listener:
		return r.name != "virtualOutbound" && r.name != build.VirtualInbound
	case extension:
		return r.name != build.RevokedHTTP && r.name != build.RevokedTCP
	}
	return true
}

// maxVersions bounds how many client versions are kept account of; versions are
// the clients' own words.
const maxVersions = 64

// holds knows which content which Envoy versions refused.
type holds struct {
	metrics *metrics
	// active is the number of holds, so that the common case takes no lock.
	active atomic.Int64

	mu       sync.RWMutex
	refused  map[string]map[content]*verdict // by client version
	released map[content]*resource
	log      changelog // names whose holds began or ended
}

// content is one version of one resource.
type content struct {
	kind          kind
	name, version string
}

func contentOf(r *resource) content { return content{r.kind, r.name, r.version} }

// verdict is what the clients of one version said of one content.
type verdict struct {
	resource *resource
	by       map[string]struct{} // SPIFFE IDs
	reason   string
	held     bool
	since    time.Time
}

func newHolds(m *metrics) *holds {
	return &holds{metrics: m, refused: map[string]map[content]*verdict{}, released: map[content]*resource{}}
}

// refuse notes a refusal, and says whether it made a hold.
func (h *holds) refuse(version string, r *resource, by, reason string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := contentOf(r)
	if !holdable(r) || !h.room(version) {
		return false
	}
	v := h.refused[version][key]
	if v == nil {
		v = &verdict{resource: r, by: map[string]struct{}{}, reason: reason}
		h.refused[version][key] = v
	}
	v.by[by] = struct{}{}
	if v.held || len(v.by) < quorum || h.released[key] != nil {
		return false
	}
	v.held, v.since = true, now
	h.count(+1)
	h.log.note(key.kind, key.name)
	return true
}

// room makes place for a version, at the cost of one without holds; false when
// there is none. h.mu is held.
func (h *holds) room(version string) bool {
	if h.refused[version] != nil {
		return true
	}
	for other, verdicts := range h.refused {
		if len(h.refused) < maxVersions {
			break
		}
		if !slices.ContainsFunc(slices.Collect(maps.Values(verdicts)), func(v *verdict) bool { return v.held }) {
			delete(h.refused, other)
		}
	}
	if len(h.refused) >= maxVersions {
		return false
	}
	h.refused[version] = map[content]*verdict{}
	return true
}

func (h *holds) count(by int64) {
	h.metrics.holds.Set(float64(h.active.Add(by)))
}

// held says whether the content is kept back from clients of this version.
func (h *holds) held(version string, r *resource) bool {
	if h.active.Load() == 0 {
		return false
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	v := h.refused[version][contentOf(r)]
	return v != nil && v.held
}

// free says whether the content was released by hand.
func (h *holds) free(c content) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.released[c] != nil
}

// release ends the holds of a name and keeps its content from being held again.
func (h *holds) release(name string) []Hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ended []Hold
	for version, verdicts := range h.refused {
		for key, v := range verdicts {
			if key.name != name || !v.held {
				continue
			}
			ended = append(ended, v.hold(version))
			v.held = false
			h.released[key] = v.resource
			h.count(-1)
			h.log.note(key.kind, key.name)
		}
	}
	sortHolds(ended)
	return ended
}

// list is every hold in force.
func (h *holds) list() []Hold {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var all []Hold
	for version, verdicts := range h.refused {
		for _, v := range verdicts {
			if v.held {
				all = append(all, v.hold(version))
			}
		}
	}
	sortHolds(all)
	return all
}

// since is what began or ended after seq; see changelog.
func (h *holds) since(seq uint64) ([]change, uint64, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.log.since(seq)
}

// prune forgets what was said of content that is no longer current.
func (h *holds) prune(current func(*resource) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for version, verdicts := range h.refused {
		for key, v := range verdicts {
			if current(v.resource) {
				continue
			}
			delete(verdicts, key)
			if v.held {
				h.count(-1)
				h.log.note(key.kind, key.name)
			}
		}
		if len(verdicts) == 0 {
			delete(h.refused, version)
		}
	}
	maps.DeleteFunc(h.released, func(_ content, r *resource) bool { return !current(r) })
}

func (v *verdict) hold(version string) Hold {
	return Hold{
		EnvoyVersion: version, TypeURL: v.resource.kind.url(), Resource: v.resource.name,
		Version: v.resource.version, RefusedBy: slices.Sorted(maps.Keys(v.by)),
		Error: v.reason, Origins: v.resource.origins, Since: v.since,
	}
}

func sortHolds(all []Hold) {
	slices.SortFunc(all, func(a, b Hold) int {
		return strings.Compare(a.Resource+"\x00"+a.TypeURL+"\x00"+a.EnvoyVersion, b.Resource+"\x00"+b.TypeURL+"\x00"+b.EnvoyVersion)
	})
}
