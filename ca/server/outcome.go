package server

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/identity"
)

// retryAfter is the earliest time at which a call that was shed should come
// back; as much again is added at random, so that they do not come together.
const retryAfter = time.Second

// Status is the gRPC answer to an error of identity or ca. What its reader could
// not mend and should not know, such as a store's own words, is for the log: the
// answer names only the [Outcome].
func Status(err error) error {
	out := classify(err)
	if out.hidden {
		return status.Error(out.code, "refused: "+out.label+"; the log of ensignd says why")
	}
	answer := status.New(out.code, err.Error())
	if out.code != codes.ResourceExhausted {
		return answer.Err()
	}
	delay := retryAfter
	var limit *limitError
	if errors.As(err, &limit) {
		delay = limit.retry
	}
	delay += rand.N(retryAfter)
	detailed, detailErr := answer.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	if detailErr != nil {
		return answer.Err()
	}
	return detailed.Err()
}

// conclude counts, logs and ends the span of one call. It sees neither the
// token nor any key.
func (s *Server) conclude(ctx context.Context, span trace.Span, caller identity.Caller, issued ca.Issued, err error, took time.Duration) {
	out := classify(err)
	s.cfg.Metrics.count(out.label)
	span.SetAttributes(attribute.String("spiffe.id", caller.Account.String()), attribute.String("ensign.outcome", out.label))
	fields := []slog.Attr{
		slog.String("outcome", out.label),
		slog.String("spiffe_id", caller.Account.String()),
		slog.String("proof", string(caller.Proof)),
		slog.String("pod", caller.Pod),
		slog.String("remote_addr", remoteAddr(ctx)),
		slog.Duration("took", took),
	}
	if err != nil {
		span.SetStatus(otelcodes.Error, out.label)
		s.cfg.Logger.LogAttrs(ctx, level(out), "certificate refused", append(fields, slog.String("error", err.Error()))...)
		return
	}
	serial := issued.Leaf.SerialNumber.Text(16)
	span.SetAttributes(attribute.String("x509.serial", serial))
	s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "certificate issued", append(fields,
		slog.String("serial", serial),
		slog.Time("not_after", issued.Leaf.NotAfter),
		slog.Uint64("ledger_index", issued.Index))...)
}

// level is Error for what somebody here must mend, Warn for what a caller must.
func level(out outcome) slog.Level {
	switch {
	case out.hidden:
		return slog.LevelError
	case out.quiet:
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// alert tells of an identity that has reached a limit.
func (s *Server) alert(ctx context.Context, caller identity.Caller, err error) {
	var limit *limitError
	if !errors.As(err, &limit) {
		return
	}
	s.cfg.Metrics.refused.WithLabelValues(string(limit.reason)).Inc()
	surge, tell := s.cfg.Metrics.surges.note(caller.Account.String(), time.Now())
	if !tell {
		return
	}
	s.cfg.Logger.WarnContext(ctx, "identity asks for too many certificates", slog.String("spiffe_id", surge.SPIFFEID),
		slog.String("limit", string(limit.reason)), slog.Int("refused", surge.Refused), slog.Time("since", surge.Since),
		slog.String("pod", caller.Pod), slog.String("remote_addr", remoteAddr(ctx)))
}

// Surges is who asked for too many certificates within the last hour, by SPIFFE ID.
func (s *Server) Surges() []Surge { return s.cfg.Metrics.surges.list(time.Now()) }
