package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/internal/connections"
	"github.com/ensign-mesh/ensign/internal/peercred"
	"github.com/ensign-mesh/ensign/internal/secrecy"
	"github.com/ensign-mesh/ensign/sds"
)

// Run is the agent: it returns when Envoy has ended, or, without one, when ctx
// ends. When ctx ends first, Envoy is drained and stopped. The code is what the
// process should exit with: Envoy's own, 1 with an error. Errors wrap ErrConfig
// when the agent was told something that cannot work.
func Run(ctx context.Context, config Config) (int, error) {
	s, err := config.check()
	if err != nil {
		return 1, err
	}
	tuneMemory()
	if err := secrecy.Keep(); err != nil {
		return 1, err
	}
	lock, err := takeRunDir(s.RunDir, s.path("agent.lock"), s.Logger)
	if err != nil {
		return 1, err
	}
	defer lock.Close()
	a := assemble(s)
	if err := a.listen(); err != nil {
		return 1, errors.Join(err, a.close())
	}
	return a.run(ctx)
}

// agent is the parts of one process, wired.
type agent struct {
	settings
	source   *sds.Source
	secrets  *sds.Server
	trustee  *trustee
	table    *connections.Table
	follower *follower
	memory   *ledgerMemory
	upstream *upstream
	relay    *relay
	reporter *reporter
	admin    *adminPort
	registry *prometheus.Registry

	sdsSocket, xdsSocket, logSocket, health, metrics net.Listener
}

func assemble(s settings) *agent {
	a := &agent{settings: s, admin: newAdminPort(s.EnvoyAdmin), registry: prometheus.NewRegistry()}
	a.registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	counts, secretCounts := newMetrics(a.registry), sds.NewMetrics(a.registry)
	roots := s.openRoots(secretCounts)
	check := s.serverCheck()
	check.revoked = func(issuer *x509.Certificate) bool { return a.follower.revokes(issuer) }
	a.upstream = &upstream{
		address: s.ControlPlane, verifier: verifier{check: check, roots: roots},
		token: tokenFile(s.TokenFile), logger: s.Logger,
		live:    func() (*sds.SVID, error) { return a.source.Live() },
		watch:   func() (*sds.SVID, <-chan struct{}) { return a.source.Watch() },
		refused: func(svid *sds.SVID) { a.source.Refused(svid) },
	}
	a.source = sds.NewSource(sds.SourceConfig{
		Signer: a.upstream, TrustDomain: s.trustDomain, Namespace: s.namespace,
		Roots: roots, TTL: s.TTL, Metrics: secretCounts, Logger: s.Logger,
	})
	a.trustee = newTrustee(a.source)
	a.secrets = sds.NewServer(a.source, secretCounts, s.Logger)
	a.table = connections.New(connections.Config{Logger: s.Logger, Registerer: a.registry})
	a.follower = newFollower(a.table, a.secrets, cutOffFile(s.path("cutoff")), counts, s.Logger)
	a.memory = openMemory(s.path("ledger.checkpoint"), counts, s.Logger)
	a.relay = &relay{upstream: a.upstream, metrics: counts, logger: s.Logger}
	a.reporter = &reporter{
		upstream: a.upstream, secrets: a.secrets.Acknowledged, fingerprintOf: a.source.FingerprintOf,
		admin: a.admin, nodeID: s.nodeID(), envoy: s.envoy != "", metrics: counts, logger: s.Logger,
		follower: a.follower, memory: a.memory, sightings: a.table.Sightings,
		trustee: a.trustee, problems: a.source.Problems,
	}
	return a
}

// listen takes every socket and port before anything starts, so that a clash is
// an error at once.
func (a *agent) listen() (err error) {
	if a.sdsSocket, err = peercred.Listen(a.path("sds.sock")); err != nil {
		return err
	}
	if a.xdsSocket, err = peercred.Listen(a.path("xds.sock")); err != nil {
		return err
	}
	if a.logSocket, err = peercred.Listen(a.path("log.sock")); err != nil {
		return err
	}
	if a.health, err = net.Listen("tcp", a.Health); err != nil {
		return fmt.Errorf("listening for health checks: %w", err)
	}
	if a.metrics, err = net.Listen("tcp", a.Metrics); err != nil {
		return fmt.Errorf("listening for scrapes: %w", err)
	}
	return nil
}

func (a *agent) close() error {
	var errs []error
	for _, listener := range []net.Listener{a.sdsSocket, a.xdsSocket, a.logSocket, a.health, a.metrics} {
		if listener != nil {
			errs = append(errs, listener.Close())
		}
	}
	return errors.Join(errs...)
}

// run serves until Envoy has ended; Envoy keeps its sockets while it drains.
func (a *agent) run(ctx context.Context) (int, error) {
	envoy, err := a.planEnvoy()
	if err != nil {
		return 1, errors.Join(err, a.close())
	}
	a.follower.resume()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, serving := errgroup.WithContext(serving)
	a.serve(group, serving)
	// A part that fails ends Envoy, and with it the agent.
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(serving, cancel)()
	code, err := a.runEnvoy(until, envoy)
	stop()
	if failed := group.Wait(); failed != nil && !errors.Is(failed, context.Canceled) {
		err = errors.Join(failed, err)
	}
	if err != nil && code == 0 {
		code = 1
	}
	return code, err
}

func (a *agent) serve(group *errgroup.Group, ctx context.Context) {
	secretServer := newLocalServer(grpc.MaxRecvMsgSize(maxSecretRequest))
	a.secrets.Register(secretServer)
	relayServer := newLocalServer(grpc.MaxRecvMsgSize(maxUpMessage),
		grpc.ForceServerCodecV2(passthrough{}), grpc.UnknownServiceHandler(a.relay.handle))
	logServer := newLocalServer(grpc.MaxRecvMsgSize(connections.MaxMessage))
	a.table.Register(logServer)
	group.Go(func() error { return serveLocal(ctx, secretServer, a.sdsSocket) })
	group.Go(func() error { return serveLocal(ctx, logServer, a.logSocket) })
	group.Go(func() error { return serveLocal(ctx, relayServer, a.xdsSocket) })
	group.Go(func() error { return serveHTTP(ctx, a.health, healthHandler(a.ready)) })
	group.Go(func() error { return serveHTTP(ctx, a.metrics, metricsHandler(a.registry, a.admin)) })
	group.Go(func() error { return a.source.Run(ctx) })
	group.Go(func() error { return a.trustee.run(ctx) })
	group.Go(func() error { return a.upstream.run(ctx) })
	group.Go(func() error { return a.table.Run(ctx) })
	group.Go(func() error { return a.follower.run(ctx) })
	group.Go(func() error { return a.memory.run(ctx) })
	group.Go(func() error { return a.reporter.run(ctx) })
	group.Go(func() error { return keepMemory(ctx, &a.relay.relayed) })
}

// runEnvoy waits for the first SVID and runs Envoy until it ends or ctx does.
func (a *agent) runEnvoy(ctx context.Context, plan envoyPlan) (int, error) {
	if a.envoy == "" {
		<-ctx.Done()
		return 0, nil
	}
	envoy, err := a.obtainEnvoy(ctx, plan)
	if envoy == nil {
		return 0, err
	}
	code := envoy.supervise(ctx, a.Drain, a.admin, a.Logger)
	if err := os.Remove(a.path("envoy.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return code, fmt.Errorf("removing envoy.pid: %w", err)
	}
	return code, nil
}

// obtainEnvoy is the Envoy that is running already, or a new one; nil if ctx ended
// before there was an SVID to start it with.
func (a *agent) obtainEnvoy(ctx context.Context, plan envoyPlan) (*process, error) {
	if plan.adopted {
		a.Logger.Info("taking over the envoy that is running", "pid", plan.left.pid)
		return plan.left, nil
	}
	if plan.left != nil {
		a.Logger.Warn("stopping an envoy that an earlier agent left with another configuration", "pid", plan.left.pid)
		plan.left.end(a.Logger)
	}
	if !a.awaitSVID(ctx) {
		return nil, nil
	}
	process, err := plan.command.start()
	if err != nil {
		return nil, err
	}
	a.table.SetEnvoy(process.pid, false)
	a.Logger.Info("envoy started", "pid", process.pid)
	if err := writeRecord(a.path("envoy.pid"), process.pid, plan.is); err != nil && !process.ended(time.Second) {
		// Without the record the next agent could not find it.
		process.end(a.Logger)
		return nil, err
	}
	return process, nil
}

func (a *agent) awaitSVID(ctx context.Context) bool {
	for {
		svid, changed := a.source.Watch()
		if svid != nil {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// ready says why the pod should not get traffic yet.
func (a *agent) ready(ctx context.Context) error {
	if _, err := a.source.Live(); err != nil {
		return err
	}
	if a.envoy == "" {
		return nil
	}
	if acknowledged, _ := a.secrets.Acknowledged(); acknowledged.Serial == "" {
		return errors.New("envoy has not acknowledged an SVID yet")
	}
	if !a.admin.live(ctx) {
		return errors.New("envoy is not live")
	}
	return nil
}
