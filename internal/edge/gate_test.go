package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/identity"
)

// verdict is an authenticator with one answer.
type verdict struct {
	caller identity.Caller
	err    error
}

func (v verdict) Authenticate(context.Context, identity.Credentials) (identity.Caller, error) {
	return v.caller, v.err
}

// everybody is a standing that nobody ever loses.
type everybody struct{}

func (everybody) Proof(identity.Caller) error { return nil }
func (everybody) Changed() <-chan struct{}    { return nil }

func newGate(v verdict) (*Gate, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	return NewGate(v, everybody{}, slog.New(slog.DiscardHandler), reg), reg
}

// silent is a stream that carries only a context.
type silent struct {
	grpc.ServerStream
	ctx context.Context
}

func (s silent) Context() context.Context { return s.ctx }

func TestTheRefusedNeverReachAHandler(t *testing.T) {
	for want, cause := range map[codes.Code]error{
		codes.Unauthenticated:  fmt.Errorf("a day ago: %w", identity.ErrExpired),
		codes.PermissionDenied: identity.ErrMismatch,
	} {
		gate, reg := newGate(verdict{err: cause})
		err := gate.Stream(nil, silent{ctx: t.Context()}, &grpc.StreamServerInfo{}, func(any, grpc.ServerStream) error {
			t.Error("handled")
			return nil
		})
		if status.Code(err) != want {
			t.Errorf("%v, want %v", err, want)
		}
		count := fmt.Sprintf("# HELP ensign_auth_refused_total RPCs refused because their proof of identity did not hold, by gRPC code.\n"+
			"# TYPE ensign_auth_refused_total counter\nensign_auth_refused_total{code=%q} 1\n", want.String())
		if err := testutil.GatherAndCompare(reg, strings.NewReader(count)); err != nil {
			t.Error(err)
		}
	}
}

func TestAMalformedHeaderIsRefusedEvenIfTheAuthenticatorWouldNot(t *testing.T) {
	gate, _ := newGate(verdict{caller: identity.Caller{Expires: time.Now().Add(time.Hour)}})
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Basic x"))
	err := gate.Stream(nil, silent{ctx: ctx}, &grpc.StreamServerInfo{}, func(any, grpc.ServerStream) error { return nil })
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("%v", err)
	}
}

func TestInternalsAreForTheLogOnly(t *testing.T) {
	const secret = "disk I/O error at /var/lib/secret-place"
	for want, cause := range map[codes.Code]error{
		codes.Internal:    errors.New(secret),
		codes.Unavailable: fmt.Errorf("%w: %s", identity.ErrUnavailable, secret),
	} {
		var log strings.Builder
		gate := NewGate(verdict{err: cause}, everybody{}, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
		err := gate.Stream(nil, silent{ctx: t.Context()}, &grpc.StreamServerInfo{}, nil)
		if status.Code(err) != want || strings.Contains(err.Error(), "secret-place") {
			t.Errorf("the caller hears %v", err)
		}
		if !strings.Contains(log.String(), "secret-place") {
			t.Errorf("the log hears %s", log.String())
		}
	}
}

func TestAStreamsContextEndsWithItsProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		gate, _ := newGate(verdict{caller: identity.Caller{Pod: "web-1", Expires: begun.Add(time.Minute)}})
		err := gate.Stream(nil, silent{ctx: t.Context()}, &grpc.StreamServerInfo{}, func(_ any, stream grpc.ServerStream) error {
			caller, ok := identity.CallerFrom(stream.Context())
			if !ok || caller.Pod != "web-1" {
				t.Errorf("caller %+v, %v", caller, ok)
			}
			<-stream.Context().Done()
			return stream.Context().Err()
		})
		if time.Since(begun) != time.Minute || err == nil {
			t.Errorf("ended after %v with %v", time.Since(begun), err)
		}
	})
}
