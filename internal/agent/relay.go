package agent

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// One push of a mesh of 10,000 services is some 30 MiB.
	maxDownMessage = 256 << 20
	// A request names at most every resource that Envoy has.
	maxUpMessage = 16 << 20
	// renewedWithin is how long a new SVID takes, after the last was refused.
	renewedWithin = 3 * time.Second
)

// relay passes Envoy's ADS stream to the control plane and back, byte for byte.
// One message a direction is in its hands: who reads slowly slows down who writes,
// by gRPC's own flow control.
type relay struct {
	upstream *upstream
	metrics  *metrics
	logger   *slog.Logger
	// relayed counts bytes, for the memory keeper.
	relayed atomic.Int64
}

// handle is the handler for every method: two are relayed, all others refused.
func (r *relay) handle(_ any, envoy grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(envoy)
	switch method {
	case discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResources_FullMethodName,
		discoveryv3.AggregatedDiscoveryService_StreamAggregatedResources_FullMethodName:
	default:
		r.metrics.relayStreams.WithLabelValues("refused").Inc()
		return status.Errorf(codes.Unimplemented, "this socket relays ADS only, not %s", method)
	}
	session, err := r.upstream.session()
	if err != nil {
		r.metrics.relayStreams.WithLabelValues("no_svid").Inc()
		return status.Error(codes.Unavailable, err.Error())
	}
	r.metrics.relayStreams.WithLabelValues("relayed").Inc()
	r.metrics.relayOpen.Inc()
	defer r.metrics.relayOpen.Dec()
	err = r.relay(envoy, session, method)
	r.logger.Info("ads stream ended", "error", err)
	if r.upstream.note(session, err) {
		r.await(envoy.Context(), session)
	}
	return unavailable(err)
}

// await keeps Envoy for a while from coming back with the SVID that was refused:
// each refusal has it wait longer, and so hear later who else is cut off.
func (r *relay) await(ctx context.Context, refused *session) {
	select {
	case <-r.upstream.newer(refused.svid):
	case <-time.After(renewedWithin):
	case <-ctx.Done():
	}
}

func (r *relay) relay(envoy grpc.ServerStream, session *session, method string) error {
	ctx, cancel := context.WithCancel(envoy.Context())
	defer cancel()
	control, err := session.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method,
		grpc.ForceCodecV2(passthrough{}), grpc.MaxCallRecvMsgSize(maxDownMessage))
	if err != nil {
		return err
	}
	up, down := make(chan error, 1), make(chan error, 1)
	go func() {
		err := r.pump(envoy.RecvMsg, control.SendMsg, r.metrics.relayBytes.WithLabelValues("up"))
		up <- errors.Join(err, control.CloseSend())
	}()
	go func() {
		down <- r.pump(control.RecvMsg, envoy.SendMsg, r.metrics.relayBytes.WithLabelValues("down"))
	}()
	for {
		select {
		case err := <-down:
			return err
		case err := <-up:
			// Envoy half-closed, or its message could not be sent; the control plane's
			// status, if any, comes down.
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			up = nil
		case <-session.done:
			return errMoving
		}
	}
}

type adder interface{ Add(float64) }

// pump moves messages one by one until either side ends; nil is a clean end.
func (r *relay) pump(receive, send func(any) error, bytes adder) error {
	for {
		var f frame
		if err := receive(&f); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		size := f.data.Len()
		if err := send(&f); err != nil {
			return err
		}
		bytes.Add(float64(size))
		r.relayed.Add(int64(size))
	}
}

// unavailable is what Envoy is told: to try again, whatever ended the stream. The
// control plane's own refusals keep their code, so that Envoy logs them.
func unavailable(err error) error {
	if err == nil {
		return status.Error(codes.Unavailable, "the control plane ended the stream")
	}
	if s, ok := status.FromError(err); ok && s.Code() != codes.Canceled && s.Code() != codes.Unknown {
		return err
	}
	return status.Error(codes.Unavailable, err.Error())
}
