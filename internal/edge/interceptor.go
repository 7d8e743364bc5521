package edge

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/identity"
)

// Gate authenticates every RPC, and ends those whose caller is cut off later.
type Gate struct {
	auth     identity.Authenticator
	standing Standing
	passages passages
	log      *slog.Logger
	refused  *prometheus.CounterVec
	ended    *prometheus.CounterVec
}

// NewGate makes the gate of one server; its counters go to reg. Streams are held
// against standing when they begin, and from then on while [Gate.Run] runs.
func NewGate(auth identity.Authenticator, standing Standing, log *slog.Logger, reg prometheus.Registerer) *Gate {
	g := &Gate{auth: auth, standing: standing, passages: passages{open: map[*passage]struct{}{}}, log: log,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_auth_refused_total",
			Help: "RPCs refused because their proof of identity did not hold, by gRPC code.",
		}, []string{"code"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ensign_auth_ended_total",
			Help: "Open RPCs ended because their caller was cut off meanwhile, by gRPC code.",
		}, []string{"code"}),
	}
	reg.MustRegister(g.refused, g.ended)
	return g
}

// authenticate answers who calls.
func (g *Gate) authenticate(ctx context.Context) (identity.Caller, error) {
	creds, err := credentialsFrom(ctx)
	if err != nil {
		return identity.Caller{}, err
	}
	return g.auth.Authenticate(ctx, creds)
}

// refuse counts a call that does not reach its handler, and answers its status.
func (g *Gate) refuse(ctx context.Context, method string, err error) error {
	code := server.Code(err)
	g.refused.WithLabelValues(code.String()).Inc()
	g.log.WarnContext(ctx, "caller refused", "method", method, "remote", remoteAddress(ctx), "code", code.String(), "error", err)
	return server.Status(err)
}

// Stream is the interceptor of all RPCs; a [Server] has no others than streams. A
// handler runs in a context that knows its caller, and that ends with the proof.
func (g *Gate) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx := stream.Context()
	caller, err := g.authenticate(ctx)
	if err != nil {
		return g.refuse(ctx, info.FullMethod, err)
	}
	held, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	one := &passage{caller: caller, cancel: cancel}
	// Counted as open first, so that whoever is cut off between the two is seen by one of them.
	g.passages.enter(one)
	defer g.passages.leave(one)
	if err := g.standing.Proof(caller); err != nil {
		return g.refuse(ctx, info.FullMethod, err)
	}
	held, stop := context.WithDeadline(identity.WithCaller(held, caller), caller.Expires)
	defer stop()
	err = handle(srv, &admitted{ServerStream: stream, ctx: held})
	if end := (cutOff{}); errors.As(context.Cause(held), &end) {
		return g.end(ctx, info.FullMethod, caller, end)
	}
	return err
}

// end counts a call whose caller was cut off meanwhile, and answers its status.
func (g *Gate) end(ctx context.Context, method string, caller identity.Caller, err error) error {
	code := server.Code(err)
	g.ended.WithLabelValues(code.String()).Inc()
	g.log.WarnContext(ctx, "stream ended", "method", method, "spiffe_id", caller.Account.String(), "serial", caller.Serial, "remote", remoteAddress(ctx), "error", err)
	return server.Status(err)
}

// admitted is a stream whose context knows its caller.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (a *admitted) Context() context.Context { return a.ctx }
