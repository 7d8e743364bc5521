package mesh

import (
	"time"

	"cmp"
	"slices"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Builder makes snapshots of the objects that sources hand over. It is owned by
// one goroutine; the snapshots that it returns may be read by any.
//
// An object is compiled once, when it arrives. Apply then marks what leans on it
// and composes only those hosts and workloads again; whatever comes out deeply
// equal keeps its old pointer.
type Builder struct {
	td      spiffeid.TrustDomain
	life    time.Duration
	last    *Snapshot
	objects map[Ref]Object // by Ref.ID(), as handed over
	report  *report

	pods     *shelf[*pod]
	services *shelf[*definition]   // Kubernetes' own
	entries  *shelf[[]*definition] // of ServiceEntries, one a host
	slices   *shelf[*slice]
	peers    *shelf[*peerAuth]
	policies *shelf[*authPolicy]
	routes   *shelf[route]
	rules    *shelf[rule]

	podsByIP      index[string, Key]
	slicesByHost  index[string, Key]
	slicesByIP    index[string, Key]
	slicesByPod   index[Key, Key]
	entriesByHost index[string, Key]
	entriesByIP   index[string, Key]
	routesByHost  index[string, Key]
	rulesByHost   index[string, Key]
	hostsByPod    index[Key, string] // hosts that a pod stands behind
	hostsByPort   index[uint32, string]
	hostsByVIP    index[string, string]
	claims        index[string, string]  // hosts by the addresses that they ask for
	definitions   map[string]*definition // in force, by host
	backings      map[string]backing
	modes         map[Key]demand
	configGood    bool
	root          string // the root namespace in force
	inbounds      *inbounds
	mark          *marks
}

// WithSVIDLife notes how long SVIDs live at most in the snapshots to come; it is
// called before the first Apply.
func (b *Builder) WithSVIDLife(life time.Duration) *Builder {
	b.life = life
	return b
}

// NewBuilder is a builder of an empty mesh in trust domain td.
func NewBuilder(td spiffeid.TrustDomain) *Builder {
	empty := &Snapshot{TrustDomain: td, Config: defaultConfig(), Denied: &Denied{}}
	return &Builder{
		td: td, last: empty,
		objects: map[Ref]Object{}, report: newReport(),
		pods: newShelf[*pod](), services: newShelf[*definition](), entries: newShelf[[]*definition](),
		slices: newShelf[*slice](), peers: newShelf[*peerAuth](), policies: newShelf[*authPolicy](),
		routes: newShelf[route](), rules: newShelf[rule](),
		podsByIP: index[string, Key]{}, slicesByHost: index[string, Key]{}, slicesByIP: index[string, Key]{},
		slicesByPod: index[Key, Key]{}, entriesByHost: index[string, Key]{}, entriesByIP: index[string, Key]{},
		routesByHost: index[string, Key]{}, rulesByHost: index[string, Key]{}, hostsByPod: index[Key, string]{},
		hostsByPort: index[uint32, string]{}, hostsByVIP: index[string, string]{}, claims: index[string, string]{}, definitions: map[string]*definition{}, backings: map[string]backing{},
		modes: map[Key]demand{}, inbounds: newInbounds(), root: defaultRootNamespace, mark: newMarks(empty),
	}
}

// Apply takes one update wholly (an object that is deleted and upserted is
// replaced; of two upserts of one object the later counts) and returns the
// picture after it, what differs from the picture before, and all problems in
// force now (not only those of this update), sorted. When nothing differs the
// snapshot is the same pointer and the change set is empty.
//
// An object with a defect is not taken: its last good version stays in force.
// Where there is none, a policy is closed (see [Unreadable]) and anything else
// is absent.
func (b *Builder) Apply(u Update) (*Snapshot, ChangeSet, []Problem) {
	b.mark = newMarks(b.last)
	upserts := map[Ref]int{}
	for i, o := range u.Upserts {
		upserts[idOf(o)] = i
	}
	for _, ref := range u.Deletes {
		if _, replaced := upserts[ref.ID()]; !replaced {
			b.remove(ref.ID())
		}
	}
	for i, o := range u.Upserts {
		if upserts[idOf(o)] == i {
			b.put(o)
		}
	}
	changes := b.compose()
	return b.last, changes, b.report.all(b.objects)
}

// idOf names an object by the kind that its type says.
func idOf(o Object) Ref { return Ref{Kind: cmp.Or(kindOf(o), o.Ref.Kind), Key: o.Ref.Key} }

// put takes one object.
func (b *Builder) put(o Object) {
	kind, id := kindOf(o), idOf(o)
	o.Ref.Kind = id.Kind
	old, had := b.objects[id]
	b.objects[id] = o
	if had && old.Value == o.Value {
		return // moved in its file at most
	}
	f := &findings{}
	if checkName(kind, id, f); !f.failed {
		b.compile(o, f)
	}
	b.report.set(id, f.list)
}

// checkName refuses kinds that no mesh is built of and names that Kubernetes
// would refuse: they would end up in SPIFFE IDs and in Envoy's names.
func checkName(kind string, id Ref, f *findings) {
	clusterScoped := kind == KindNamespace
	switch {
	case kind == "":
		f.fail("kind", "hand over an object of one of the mesh's kinds", "%s is of no kind that the mesh takes, or empty", id.Kind)
	case clusterScoped && id.Namespace != "":
		f.fail("metadata.namespace", "remove it", "a Namespace has no namespace")
	case !clusterScoped && !dnsLabel.MatchString(id.Namespace):
		f.fail("metadata.namespace", "write a namespace of lower-case letters, digits and -", "%q is not a namespace", id.Namespace)
	case clusterScoped && !dnsLabel.MatchString(id.Name), kind == KindService && !dnsLabel.MatchString(id.Name),
		len(id.Name) > 253, !dnsSubdomain.MatchString(id.Name):
		f.fail("metadata.name", "write a name of lower-case letters, digits and -", "%q is not a name", id.Name)
	}
}

// remove forgets one object, and its last good version with it.
func (b *Builder) remove(id Ref) {
	if _, ok := b.objects[id]; !ok {
		return
	}
	delete(b.objects, id)
	b.report.set(id, nil)
	b.forget(id)
}

// sorted lists the members of a set of keys in order.
func sorted(s Set[Key]) []Key {
	out := make([]Key, 0, len(s))
	for k := range s {
		out = append(out, k)
	}
	slices.SortFunc(out, compareKeys)
	return out
}
