package xds

import (
	"slices"
	"strings"
	"sync"

	"github.com/ensign-mesh/ensign/mesh"
)

// widths are the widened forms of one cluster, by the identities they accept.
type widths struct {
	mu   sync.Mutex // held while one is made, so that it is made once
	made map[string]*resource
}

// widen is the cluster that also accepts the IDs in more, made and encoded once
// for all sessions that need it.
func (c *catalog) widen(r *resource, more []string) (*resource, error) {
	ids := union(r.ids, more)
	key := strings.Join(ids, "\x00")
	r.wide.mu.Lock()
	defer r.wide.mu.Unlock()
	if w := r.wide.made[key]; w != nil {
		return w, nil
	}
	c.metrics.builds.WithLabelValues(r.kind.label()).Inc()
	c.metrics.encodes.WithLabelValues(r.kind.label()).Inc()
	w, err := encode(c.make.widen(r.source, ids))
	if err != nil {
		return nil, err
	}
	if w.version == r.version {
		w = r // there is nothing to widen
	} else {
		w.ids, w.widened = ids, r
	}
	if r.wide.made == nil {
		r.wide.made = map[string]*resource{}
	}
	r.wide.made[key] = w
	return w, nil
}

// unbridge looks again at the clusters that were widened, when somebody was cut
// off since: maybe who they were widened by.
func (s *session) unbridge(denied *mesh.Denied) {
	if denied == s.denied {
		return
	}
	s.denied = denied
	c := s.watches[cluster]
	for name, had := range c.have {
		if had.sent != nil && had.sent.widened != nil {
			c.markWanted(name)
		}
	}
}

// union is the sorted set of what is in a or in b.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// without is what is in a and not in b, in a's order.
func without(a, b []string) []string {
	var rest []string
	for _, v := range a {
		if !slices.Contains(b, v) {
			rest = append(rest, v)
		}
	}
	return rest
}

// within is what is in a and in b, in a's order.
func within(a, b []string) []string { return without(a, without(a, b)) }
