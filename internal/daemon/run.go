package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/edge"
	"github.com/ensign-mesh/ensign/internal/peercred"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds"
)

// run is ensignd from its config to its end.
func run(ctx context.Context, c config, log *slog.Logger) (err error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	tracing, err := newTracing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tracing.stop()) }()
	var people *population
	authority, err := openAuthority(ctx, c, func(crls uint64) []string { return people.without(ctx, crls) }, log, reg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, authority.close()) }()

	group, ctx := errgroup.WithContext(ctx)
	w := &world{}
	speakers := nodes{w, &census{ledger: authority.ledger, rootOf: authority.roots.RootOf}}
	streams, err := newStreams(ctx, speakers, tracing, log, reg)
	if err != nil {
		return err
	}
	list, _ := authority.register.Current()
	set, _ := authority.crls.Current()
	told := newOrders(list, set)
	seen, err := newPicture(c, w, told, streams, log, reg)
	if err != nil {
		return err
	}
	seen.deny(list)
	shown, err := newServerIdentity(ctx, authority.issuing, authority.roots, c.names, authority.register.RevokedIssuer, log)
	if err != nil {
		return err
	}
	registry := agents.NewRegistry()
	people = newPopulation(authority, w, streams, registry, seen)
	following, err := newFollowers(ctx, authority, speakers, registry, shown, log)
	if err != nil {
		return err
	}
	services, err := serving{
		config: c, authority: authority, world: w, orders: told, people: people, followers: following, speakers: speakers, registry: registry, streams: streams, tracing: tracing, log: log,
	}.services()
	if err != nil {
		return err
	}
	gate := edge.NewGate(services.authenticator, standing{authority.register}, log, reg)
	network := edge.NewServer(shown, gate, grpc.ForceServerCodecV2(xds.Codec()))
	services.register(network)
	local := grpc.NewServer(grpc.Creds(peercred.Credentials(uint32(os.Geteuid()), 0)))
	ensignv1.RegisterAdminServiceServer(local, services.admin)

	federated, err := openBundle(ctx, c.bundle, c.domain, authority.roots, authority.issuing, log, reg)
	if err != nil {
		return err
	}
	listeners, err := listen(ctx, c, reg)
	if err != nil {
		return err
	}
	enforced := &enforcement{
		register: authority.register, crls: authority.crls, picture: seen, orders: told, issuing: authority.issuing, shown: shown,
		registry: registry, streams: streams, log: log,
	}
	for _, task := range (running{
		authority: authority, picture: seen, shown: shown, gate: gate, enforced: enforced, followers: following, federated: federated,
		network: network, local: local, listeners: listeners, health: newHealthServer(readiness{authority: authority, xds: streams, shown: shown}, reg, log), log: log,
	}).tasks() {
		group.Go(func() error { return task(ctx) })
	}
	log.InfoContext(ctx, "ensignd started", "listen", listeners.network.Addr().String(), "metrics", listeners.metrics.Addr().String(),
		"trust_domain", c.domain.Name(), "bundle", authority.issuing.Bundle().Hash())
	return group.Wait()
}

// newStreams is the xDS server, on which a pod's configuration is its own as its reports are.
func newStreams(ctx context.Context, speakers nodes, t *tracing, log *slog.Logger, reg *prometheus.Registry) (*xds.Server, error) {
	return xds.New(xds.Config{
		Logger: log, Registerer: reg, Tracer: t.Tracer("github.com/ensign-mesh/ensign/xds"), Context: ctx,
		Free: func(pod mesh.Key, w *mesh.Workload) error { return speakers.free(ctx, pod, w) },
	})
}

// running is all that works until ensignd ends.
type running struct {
	authority *authority
	picture   *picture
	shown     *serverIdentity
	gate      *edge.Gate
	enforced  *enforcement
	followers *followers
	federated *bundleEndpoint
	network   grpcServer
	local     grpcServer
	listeners listeners
	health    *http.Server
	log       *slog.Logger
}

// tasks end when their context does; if one ends before, all do.
func (r running) tasks() []func(context.Context) error {
	return []func(context.Context) error{
		r.picture.run, r.authority.run, r.shown.run, r.gate.Run, r.federated.run, r.followers.run,
		r.enforced.deny, r.enforced.command, r.enforced.replace, r.enforced.drain,
		func(ctx context.Context) error { return r.authority.rotate(ctx, r.followers) },
		func(ctx context.Context) error { return serveGRPC(ctx, r.network, r.listeners.network) },
		func(ctx context.Context) error { return serveGRPC(ctx, r.local, r.listeners.admin) },
		func(ctx context.Context) error { return serveHTTP(ctx, r.health, r.listeners.metrics) },
		func(ctx context.Context) error {
			return serveLedger(ctx, r.authority.ledger, r.listeners.ledger, r.log)
		},
	}
}
