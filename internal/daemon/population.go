package daemon

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/internal/agents"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds"
)

// awayFor is how long the look at those who are not connected stands: it reads the
// ledger and the reports.
const awayFor = 2 * time.Second

// population is every place where lists are enforced: the proxies that are connected,
// and those that are away though their pod is in the mesh and has a live SVID. It
// implements admin.Population.
type population struct {
	world   *world
	streams interface{ Proxies() []xds.ProxyStatus }
	agents  interface {
		Agents() ([]agents.Agent, <-chan struct{})
	}
	reports interface {
		All(ctx context.Context) ([]report.Report, error)
	}
	live func(ctx context.Context, now time.Time) ([]ca.Recorded, error)
	// list is who is cut off, denying the revision of the list that proxies are told of.
	list    func() (*revocation.List, <-chan struct{})
	denying func() uint64

	mu     sync.Mutex
	away   residents
	looked time.Time
}

func newPopulation(a *authority, w *world, streams *xds.Server, registry *agents.Registry, seen *picture) *population {
	return &population{
		world: w, streams: streams, agents: registry, reports: a.reports, live: a.ledger.LiveSVIDs,
		list: a.register.Current, denying: seen.denying.Load,
	}
}

// residents are pods of the mesh with a live SVID, by NAMESPACE/NAME: what their
// agents last said, and the serials of their SVIDs.
type residents struct {
	proxies map[string]revocation.Proxy
	serials map[string][]string
	// bound hold one that was bound to them: for these nobody else speaks.
	bound map[string]bool
}

// credible says whether what was said in a pod's name counts; itself: the pod proved to
// be that one.
func (r residents) credible(name string, itself bool) bool { return itself || !r.bound[name] }

// Obeying implements admin.Population.
func (p *population) Obeying(ctx context.Context, list *revocation.List) ([]revocation.Proxy, <-chan struct{}, error) {
	away, err := p.lookAway(ctx)
	if err != nil {
		return nil, nil, err
	}
	// Asked before the proxies are: what they have acknowledged is that or newer.
	told := p.denying() >= list.Revision
	connected, changed := p.agents.Agents()
	return join(away, connected, p.streams.Proxies(), told), changed, nil
}

// without names those whose agent does not have a revision of the CRLs yet. While it
// is not known who there is, everybody may be without. Who is away and holds nothing
// but revoked SVIDs is not among them: it is refused everywhere, and waits itself for
// whoever asks this.
func (p *population) without(ctx context.Context, crlRevision uint64) []string {
	list, _ := p.list()
	away, err := p.lookAway(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	revoked := map[string]bool{}
	for _, c := range list.Certificates {
		revoked[c.Serial] = !c.Quarantined
	}
	agents, _ := p.agents.Agents()
	connected := map[string]bool{}
	for _, a := range agents {
		connected[a.Name] = away.credible(a.Name, a.Bound)
	}
	var names []string
	for _, one := range join(away, agents, nil, false) {
		out := !slices.ContainsFunc(away.serials[one.Name], func(serial string) bool { return !revoked[serial] })
		if one.Agent && one.CRLRevision < crlRevision && (connected[one.Name] || !out) {
			names = append(names, one.Name)
		}
	}
	return names
}

// lookAway is whom the reports and the ledger know.
func (p *population) lookAway(ctx context.Context) (residents, error) {
	snapshot := p.world.Snapshot()
	if snapshot == nil {
		return residents{}, errNotReady
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.looked) < awayFor {
		return p.away, nil
	}
	reports, err := p.reports.All(ctx)
	if err != nil {
		return residents{}, err
	}
	live, err := p.live(ctx, now)
	if err != nil {
		return residents{}, err
	}
	p.away, p.looked = residentsOf(snapshot, reports, live), now
	return p.away, nil
}

// residentsOf are the pods of the mesh that hold a live SVID: one that was bound to
// them, or one that their Envoy acknowledged.
func residentsOf(snapshot *mesh.Snapshot, reports []report.Report, live []ca.Recorded) residents {
	found := residents{proxies: map[string]revocation.Proxy{}, serials: map[string][]string{}, bound: map[string]bool{}}
	lives := map[string]bool{}
	for _, r := range live {
		lives[r.Entry.Serial] = true
		key, ok := podOf(r.Entry)
		if w := snapshot.Workloads[key]; ok && w != nil && w.UID == r.Entry.PodUID {
			name := key.String()
			found.proxies[name] = revocation.Proxy{Name: name, SPIFFEID: w.Account.String()}
			found.serials[name] = append(found.serials[name], r.Entry.Serial)
			found.bound[name] = true
		}
	}
	for _, r := range reports {
		key := mesh.Key{Namespace: r.Namespace, Name: r.Pod}
		name := key.String()
		if w := snapshot.Workloads[key]; w == nil || w.Account.String() != r.SPIFFEID || !found.credible(name, r.Bound) {
			continue
		}
		if lives[r.AckedSerial] && !slices.Contains(found.serials[name], r.AckedSerial) {
			found.serials[name] = append(found.serials[name], r.AckedSerial)
		}
		if len(found.serials[name]) > 0 {
			found.proxies[name] = obeying(revocation.Proxy{Name: name, SPIFFEID: r.SPIFFEID}, r.Obedience)
		}
	}
	return found
}

// podOf is the pod that an SVID was bound to; false if to none.
func podOf(e ca.Entry) (mesh.Key, bool) {
	id, err := spiffeid.FromString(e.SPIFFEID)
	if err != nil || e.Pod == "" {
		return mesh.Key{}, false
	}
	account, err := identity.AccountFromID(id)
	return mesh.Key{Namespace: account.Namespace, Name: e.Pod}, err == nil
}

// obeying is a proxy with what its agent said of it.
func obeying(p revocation.Proxy, o *report.Obedience) revocation.Proxy {
	p.Agent = true
	if o != nil {
		p.Revision, p.CRLRevision, p.Method, p.Open, p.Error = o.Revision, o.CRLRevision, o.Method, o.Open, o.Error
	}
	return p
}

// join is everybody, sorted: what a connected agent says counts more than a report of
// earlier. Of two streams of one proxy the later counts. told: the streams were given
// the list that is asked about, so that their acknowledgement is one of that.
func join(away residents, connected []agents.Agent, streams []xds.ProxyStatus, told bool) []revocation.Proxy {
	all := maps.Clone(away.proxies)
	for _, a := range connected {
		if !away.credible(a.Name, a.Bound) {
			continue
		}
		all[a.Name] = obeying(revocation.Proxy{Name: a.Name, SPIFFEID: a.SPIFFEID}, a.Obedience)
	}
	for _, s := range streams {
		if !away.credible(s.Name, s.Bound) {
			continue // opened before the pod held anything of its own, and idle since
		}
		p := all[s.Name]
		p.Name, p.SPIFFEID, p.Connected, p.DenyAcked = s.Name, s.SPIFFEID, true, s.DenyAcked && told
		all[s.Name] = p
	}
	return slices.SortedFunc(maps.Values(all), func(a, b revocation.Proxy) int { return strings.Compare(a.Name, b.Name) })
}
