package daemon

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/mesh/manifest"
	"github.com/ensign-mesh/ensign/xds"
)

// picture keeps the world, the agents' orders and the xDS server at what the
// manifests say and at who is cut off. mu is held through all of it, so that each
// sees one picture after the other.
type picture struct {
	source *manifest.Source
	world  *world
	orders *orders
	xds    *xds.Server
	log    *slog.Logger
	count  prometheus.Gauge

	mu      sync.Mutex
	builder *mesh.Builder
	loaded  bool
	said    map[string]bool
	// denying is the revision of the list that proxies are told of.
	denying atomic.Uint64
}

func newPicture(c config, w *world, o *orders, x *xds.Server, log *slog.Logger, reg prometheus.Registerer) (*picture, error) {
	source, err := manifest.New(manifest.Config{Dir: c.manifests, Logger: log, Metrics: reg})
	if err != nil {
		return nil, err
	}
	count := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ensign_mesh_problems", Help: "Objects that are not in force as they were written.",
	})
	reg.MustRegister(count)
	return &picture{
		source: source, world: w, orders: o, xds: x, log: log, count: count,
		builder: mesh.NewBuilder(c.domain).WithSVIDLife(c.profile.Longest()), said: map[string]bool{},
	}, nil
}

func (p *picture) run(ctx context.Context) error {
	return p.source.Run(ctx, func(update mesh.Update, unread []mesh.Problem) {
		p.mu.Lock()
		defer p.mu.Unlock()
		snapshot, changes, problems := p.builder.Apply(update)
		p.tell(ctx, append(p.source.Locate(problems), unread...))
		p.loaded = true
		p.publish(snapshot, changes)
	})
}

// deny keeps out who is cut off. Before the manifests are read there is nobody to
// tell: what is denied is part of the first picture.
func (p *picture) deny(list *revocation.List) {
	denied := deniedOf(list)
	p.mu.Lock()
	defer p.mu.Unlock()
	snapshot, changes, _ := p.builder.Deny(denied)
	if p.loaded {
		p.publish(snapshot, changes)
	}
	p.denying.Store(list.Revision)
}

// publish shows a snapshot to everybody.
func (p *picture) publish(snapshot *mesh.Snapshot, changes mesh.ChangeSet) {
	// Who exists comes first: a proxy that is told of a pod may not be
	// refused because of a picture from before it.
	p.world.snapshot.Store(snapshot)
	p.xds.Update(snapshot, changes)
	p.orders.see(snapshot)
}

// deniedOf is the part of a list that proxies are configured with. Certificates of
// an identity or issuer that is denied altogether need no mention.
func deniedOf(list *revocation.List) mesh.Denied {
	denied := mesh.Denied{Identities: list.Identities}
	issuers := map[string]bool{}
	for _, issuer := range list.Issuers {
		denied.Issuers = append(denied.Issuers, issuer.Subject)
		issuers[issuer.Serial] = true
	}
	for _, c := range list.Certificates {
		if !c.Quarantined && !issuers[c.IssuerSerial] {
			denied.Digests = append(denied.Digests, c.Fingerprint)
		}
	}
	return denied
}

// tell logs each problem once, when it appears.
func (p *picture) tell(ctx context.Context, problems []mesh.Problem) {
	p.count.Set(float64(len(problems)))
	now := map[string]bool{}
	for _, problem := range problems {
		line := manifest.Describe(problem)
		now[line] = true
		if !p.said[line] {
			p.log.WarnContext(ctx, "object not in force as written", "object", problem.Ref.String(), "problem", line)
		}
	}
	p.said = now
}
