package edge

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/identity"
)

// Gate authenticates every RPC.
type Gate struct {
	auth    identity.Authenticator
	log     *slog.Logger
	refused *prometheus.CounterVec
}

// NewGate makes the gate of one server; its counters go to reg.
func NewGate(auth identity.Authenticator, log *slog.Logger, reg prometheus.Registerer) *Gate {
	g := &Gate{auth: auth, log: log, refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ensign_auth_refused_total",
		Help: "RPCs refused because their proof of identity did not hold, by gRPC code.",
	}, []string{"code"})}
	reg.MustRegister(g.refused)
	return g
}

// admit answers the context that a handler runs in: with its caller, and ending
// no later than the caller's proof.
func (g *Gate) admit(ctx context.Context, method string) (context.Context, context.CancelFunc, error) {
	creds, err := credentialsFrom(ctx)
	var caller identity.Caller
	if err == nil {
		caller, err = g.auth.Authenticate(ctx, creds)
	}
	if err != nil {
		code := server.Code(err)
		g.refused.WithLabelValues(code.String()).Inc()
		g.log.WarnContext(ctx, "caller refused", "method", method, "remote", remoteAddress(ctx), "code", code.String(), "error", err)
		return nil, nil, server.Status(err)
	}
	ctx, cancel := context.WithDeadline(identity.WithCaller(ctx, caller), caller.Expires)
	return ctx, cancel, nil
}

// Stream is the interceptor of all RPCs; a [Server] has no others than streams.
func (g *Gate) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, cancel, err := g.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	defer cancel()
	return handle(srv, &admitted{ServerStream: stream, ctx: ctx})
}

// admitted is a stream whose context knows its caller.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a *admitted) Context() context.Context { return a.ctx }
