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
	// denying is the revision of the list that proxies are told of.
	denying func() uint64

	mu     sync.Mutex
	away   map[string]revocation.Proxy
	looked time.Time
}

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
// is not known who there is, everybody may be without.
func (p *population) without(ctx context.Context, crlRevision uint64) []string {
	all, _, err := p.Obeying(ctx, &revocation.List{})
	if err != nil {
		return []string{err.Error()}
	}
	var names []string
	for _, one := range all {
		if one.Agent && one.CRLRevision < crlRevision {
			names = append(names, one.Name)
		}
	}
	return names
}

// lookAway is whom the reports and the ledger know, by name.
func (p *population) lookAway(ctx context.Context) (map[string]revocation.Proxy, error) {
	snapshot := p.world.Snapshot()
	if snapshot == nil {
		return nil, errNotReady
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.away != nil && now.Sub(p.looked) < awayFor {
		return p.away, nil
	}
	reports, err := p.reports.All(ctx)
	if err != nil {
		return nil, err
	}
	live, err := p.live(ctx, now)
	if err != nil {
		return nil, err
	}
	p.away, p.looked = residents(snapshot, reports, live), now
	return p.away, nil
}

// residents are the pods of the mesh that hold a live SVID: one that was bound to
// them, or one that their Envoy acknowledged.
func residents(snapshot *mesh.Snapshot, reports []report.Report, live []ca.Recorded) map[string]revocation.Proxy {
	serials, found := map[string]bool{}, map[string]revocation.Proxy{}
	for _, r := range live {
		serials[r.Entry.Serial] = true
		key, ok := podOf(r.Entry)
		if w := snapshot.Workloads[key]; ok && w != nil && w.UID == r.Entry.PodUID {
			found[key.String()] = revocation.Proxy{Name: key.String(), SPIFFEID: w.Account.String()}
		}
	}
	for _, r := range reports {
		key := mesh.Key{Namespace: r.Namespace, Name: r.Pod}
		_, bound := found[key.String()]
		if w := snapshot.Workloads[key]; w != nil && w.Account.String() == r.SPIFFEID && (bound || serials[r.AckedSerial]) {
			found[key.String()] = obeying(revocation.Proxy{Name: key.String(), SPIFFEID: r.SPIFFEID}, r.Obedience)
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
func join(away map[string]revocation.Proxy, connected []agents.Agent, streams []xds.ProxyStatus, told bool) []revocation.Proxy {
	all := maps.Clone(away)
	for _, a := range connected {
		all[a.Name] = obeying(revocation.Proxy{Name: a.Name, SPIFFEID: a.SPIFFEID}, a.Obedience)
	}
	for _, s := range streams {
		p := all[s.Name]
		p.Name, p.SPIFFEID, p.Connected, p.DenyAcked = s.Name, s.SPIFFEID, true, s.DenyAcked && told
		all[s.Name] = p
	}
	return slices.SortedFunc(maps.Values(all), func(a, b revocation.Proxy) int { return strings.Compare(a.Name, b.Name) })
}
