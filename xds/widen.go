package xds

import (
	"slices"
	"strings"
	"sync"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// variants are other forms of one resource: of a cluster by the identities that
// it also accepts, of the inbound listener by the revision that it was recycled for.
type variants struct {
	mu   sync.Mutex // held while one is made, so that it is made once
	made map[string]*resource
}

// maxVariants bounds how many forms of one resource are kept.
const maxVariants = 64

// widen is the cluster that also accepts the IDs in more, made and encoded once
// for all sessions that need it.
func (c *catalog) widen(r *resource, more []string) (*resource, error) {
	ids := union(r.ids, more)
	return c.variant(r, strings.Join(ids, "\x00"), func() build.Resource { return c.make.widen(r.source, ids) })
}

// variant is another form of a resource, made and encoded once. What comes out
// the same is the resource itself.
func (c *catalog) variant(r *resource, key string, make func() build.Resource) (*resource, error) {
	r.variants.mu.Lock()
	defer r.variants.mu.Unlock()
	if v := r.variants.made[key]; v != nil {
		return v, nil
	}
	c.metrics.builds.WithLabelValues(r.kind.label()).Inc()
	c.metrics.encodes.WithLabelValues(r.kind.label()).Inc()
	v, err := encode(make())
	if err != nil {
		return nil, err
	}
	if v.version == r.version {
		v = r
	} else {
		v.of = r
	}
	if len(r.variants.made) >= maxVariants || r.variants.made == nil {
		r.variants.made = map[string]*resource{}
	}
	r.variants.made[key] = v
	return v, nil
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
		if had.sent != nil && had.sent.of != nil {
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
