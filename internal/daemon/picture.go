package daemon

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/mesh/manifest"
	"github.com/ensign-mesh/ensign/xds"
)

// picture keeps the world and the xDS server at what the manifests say. One
// goroutine, the source's, goes through all of it.
type picture struct {
	source  *manifest.Source
	builder *mesh.Builder
	world   *world
	xds     *xds.Server
	log     *slog.Logger
	count   prometheus.Gauge
	said    map[string]bool
}

func newPicture(c config, w *world, x *xds.Server, log *slog.Logger, reg prometheus.Registerer) (*picture, error) {
	source, err := manifest.New(manifest.Config{Dir: c.manifests, Logger: log, Metrics: reg})
	if err != nil {
		return nil, err
	}
	count := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ensign_mesh_problems", Help: "Objects that are not in force as they were written.",
	})
	reg.MustRegister(count)
	return &picture{source: source, builder: mesh.NewBuilder(c.domain).WithSVIDLife(c.profile.Longest()), world: w, xds: x, log: log, count: count, said: map[string]bool{}}, nil
}

func (p *picture) run(ctx context.Context) error {
	return p.source.Run(ctx, func(update mesh.Update, unread []mesh.Problem) {
		snapshot, changes, problems := p.builder.Apply(update)
		p.tell(ctx, append(p.source.Locate(problems), unread...))
		// Who exists comes first: a proxy that is told of a pod may not be
		// refused because of a picture from before it.
		p.world.snapshot.Store(snapshot)
		p.xds.Update(snapshot, changes)
	})
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
