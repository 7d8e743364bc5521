package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/edge"
	"github.com/ensign-mesh/ensign/internal/peercred"
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
	streams, err := xds.New(xds.Config{Logger: log, Registerer: reg, Tracer: tracing.Tracer("github.com/ensign-mesh/ensign/xds"), Context: ctx})
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
	shown, err := newServerIdentity(ctx, authority.issuing, authority.roots, c.names, log)
	if err != nil {
		return err
	}
	registry := agents.NewRegistry()
	people = &population{world: w, streams: streams, agents: registry, reports: authority.reports, live: authority.ledger.LiveSVIDs,
		list: authority.register.Current, denying: seen.denying.Load}
	said, err := newTestimony(ctx, authority.reports)
	if err != nil {
		return err
	}
	following := &followers{
		world: w, census: &census{ledger: authority.ledger, rootOf: authority.roots.RootOf}, testimony: said, registry: registry,
		register: authority.register, issuing: authority.issuing, shown: shown, signing: authority.roots.Signing,
	}
	services, err := serving{
		config: c, authority: authority, world: w, orders: told, people: people, followers: following, registry: registry, streams: streams, tracing: tracing, log: log,
	}.services()
	if err != nil {
		return err
	}
	gate := edge.NewGate(services.authenticator, standing{authority.register}, log, reg)
	network := edge.NewServer(shown, gate, grpc.ForceServerCodecV2(xds.Codec()))
	services.register(network)
	local := grpc.NewServer(grpc.Creds(peercred.Credentials(uint32(os.Geteuid()), 0)))
	ensignv1.RegisterAdminServiceServer(local, services.admin)

	listeners, err := listen(ctx, c, reg)
	if err != nil {
		return err
	}
	enforced := &enforcement{
		register: authority.register, crls: authority.crls, picture: seen, orders: told, issuing: authority.issuing, shown: shown,
		registry: registry, streams: streams, log: log,
	}
	for _, task := range []func(context.Context) error{
		seen.run, authority.run, shown.run, gate.Run, enforced.deny, enforced.command, enforced.replace, enforced.drain,
		func(ctx context.Context) error { return authority.rotate(ctx, following) },
		func(ctx context.Context) error { return serveGRPC(ctx, network, listeners.network) },
		func(ctx context.Context) error { return serveGRPC(ctx, local, listeners.admin) },
		func(ctx context.Context) error {
			return serveHTTP(ctx, newHealthServer(readiness{authority: authority, xds: streams}, reg, log), listeners.metrics)
		},
		func(ctx context.Context) error { return serveLedger(ctx, authority.ledger, listeners.ledger, log) },
	} {
		group.Go(func() error { return task(ctx) })
	}
	log.InfoContext(ctx, "ensignd started", "listen", listeners.network.Addr().String(), "metrics", listeners.metrics.Addr().String(),
		"trust_domain", c.domain.Name(), "bundle", authority.issuing.Bundle().Hash())
	return group.Wait()
}
