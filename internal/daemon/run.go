package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	caserver "github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/clientcert"
	"github.com/ensign-mesh/ensign/identity/satoken"
	"github.com/ensign-mesh/ensign/internal/admin"
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
	authority, err := openAuthority(ctx, c, log, reg)
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
	seen, err := newPicture(c, w, streams, log, reg)
	if err != nil {
		return err
	}
	shown, err := newServerIdentity(ctx, authority.issuing, c.names, log)
	if err != nil {
		return err
	}
	services, err := newServices(c, authority, w, streams, tracing, log)
	if err != nil {
		return err
	}
	gate := edge.NewGate(services.authenticator, standing{}, log, reg)
	network := edge.NewServer(shown, gate, grpc.ForceServerCodecV2(xds.Codec()))
	services.register(network)
	local := grpc.NewServer(grpc.Creds(peercred.Credentials(uint32(os.Geteuid()), 0)))
	ensignv1.RegisterAdminServiceServer(local, services.admin)
	health := newHealthServer(readiness{authority: authority, xds: streams}, reg, log)

	listeners, err := listen(ctx, c, reg)
	if err != nil {
		return err
	}
	group.Go(func() error { return seen.run(ctx) })
	group.Go(func() error { return authority.issuing.Run(ctx) })
	group.Go(func() error { return shown.run(ctx) })
	group.Go(func() error { return serveGRPC(ctx, network, listeners.network) })
	group.Go(func() error { return serveGRPC(ctx, local, listeners.admin) })
	group.Go(func() error { return serveHTTP(ctx, health, listeners.metrics) })
	log.InfoContext(ctx, "ensignd started", "listen", listeners.network.Addr().String(), "metrics", listeners.metrics.Addr().String(),
		"trust_domain", c.domain.Name(), "bundle", authority.issuing.Bundle().Hash())
	return group.Wait()
}

// services are what is served on 15012.
type services struct {
	authenticator identity.Authenticator
	signing       *caserver.Server
	agents        *agents.Service
	admin         *admin.Service
	streams       *xds.Server
}

func newServices(c config, a *authority, w *world, streams *xds.Server, tracing *tracing, log *slog.Logger) (*services, error) {
	key, err := a.tokenKey()
	if err != nil {
		return nil, err
	}
	tokens := satoken.Config{TrustDomain: c.domain, Directory: w}
	byToken, err := satoken.NewAuthenticator(&key.PublicKey, tokens)
	if err != nil {
		return nil, err
	}
	minter, err := satoken.NewMinter(key, tokens)
	if err != nil {
		return nil, err
	}
	bySVID, err := clientcert.NewAuthenticator(clientcert.Config{
		TrustDomain: c.domain, Directory: w, Binding: a.binding, MaxTokenAge: clientcert.DefaultMaxTokenAge,
	})
	if err != nil {
		return nil, err
	}
	signing, err := caserver.New(caserver.Config{Issuer: a.issuing, Metrics: a.metrics, Logger: log, Tracing: tracing})
	if err != nil {
		return nil, err
	}
	registry := agents.NewRegistry()
	return &services{
		authenticator: whenLoaded{world: w, inner: identity.Combined(byToken, bySVID)},
		signing:       signing,
		agents: agents.NewService(agents.Config{
			Registry: registry, Reports: a.reports, Nodes: nodes{w}, Orders: orders{}, Ledger: a.ledger, Logger: log,
		}),
		admin: admin.New(admin.Config{
			Tokens: minter, Ledger: a.ledger, Reports: a.reports, Proxies: streams, Agents: registry,
			Mesh: w.Snapshot, Admins: c.admins, Logger: log,
		}),
		streams: streams,
	}, nil
}

func (s *services) register(server grpc.ServiceRegistrar) {
	s.streams.Register(server)
	s.signing.Register(server)
	ensignv1.RegisterAgentServiceServer(server, s.agents)
	ensignv1.RegisterAdminServiceServer(server, s.admin)
}

type listeners struct{ network, metrics, admin net.Listener }

func listen(ctx context.Context, c config, reg prometheus.Registerer) (l listeners, err error) {
	limits, err := edge.ProcessLimits()
	if err != nil {
		return l, err
	}
	var tcp net.ListenConfig
	if l.network, err = tcp.Listen(ctx, "tcp", c.listen); err != nil {
		return l, fmt.Errorf("listening on --listen %s: %w", c.listen, err)
	}
	l.network = edge.NewListener(l.network, limits, reg)
	if l.metrics, err = tcp.Listen(ctx, "tcp", c.metrics); err != nil {
		return l, fmt.Errorf("listening on --metrics %s: %w", c.metrics, err)
	}
	if l.admin, err = peercred.Listen(filepath.Join(c.data, "admin.sock")); err != nil {
		return l, err
	}
	return l, nil
}

// grpcServer is a *grpc.Server, or one behind a gate.
type grpcServer interface {
	Serve(net.Listener) error
	Stop()
}

// serveGRPC serves until ctx ends. Streams are cut, not waited for: proxies keep
// what they have and come back.
func serveGRPC(ctx context.Context, server grpcServer, listener net.Listener) error {
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return nil
}
