package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/internal/edge"
	"github.com/ensign-mesh/ensign/internal/peercred"
)

// listeners are the ways in; ledger is nil if it is not served.
type listeners struct{ network, metrics, ledger, admin net.Listener }

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
	if c.ledger != "" {
		if l.ledger, err = tcp.Listen(ctx, "tcp", c.ledger); err != nil {
			return l, fmt.Errorf("listening on --ledger-listen %s: %w", c.ledger, err)
		}
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
