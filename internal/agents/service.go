package agents

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/identity"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Reports keeps reports; Put returns only when the report is durable.
type Reports interface {
	Put(ctx context.Context, r report.Report) error
}

// Nodes says which pod a node ID means, if this caller may speak for it.
type Nodes interface {
	Pod(caller identity.Caller, nodeID string) (namespace, pod string, err error)
}

// Service implements ensign.v1.AgentService.
type Service struct {
	ensignv1.UnimplementedAgentServiceServer
	registry *Registry
	reports  Reports
	nodes    Nodes
	log      *slog.Logger
}

// NewService joins the registry with the store of reports.
func NewService(registry *Registry, reports Reports, nodes Nodes, log *slog.Logger) *Service {
	return &Service{registry: registry, reports: reports, nodes: nodes, log: log}
}

// A report a second with some slack: an agent reports on acknowledgements and
// once a minute.
const (
	reportsPerSecond = 5
	reportBurst      = 20
)

// Connect serves one agent until its stream or its proof ends.
func (s *Service) Connect(stream ensignv1.AgentService_ConnectServer) error {
	ctx := stream.Context()
	caller, ok := identity.CallerFrom(ctx)
	if !ok {
		return status.Error(codes.Unauthenticated, identity.ErrNoProof.Error())
	}
	live := newSession()
	defer close(live.done)
	ended := make(chan error, 2)
	go func() { ended <- s.receive(stream, caller, live) }()
	go func() { ended <- live.transmit(stream) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		// A send to an agent that does not read knows nothing of the proof's end;
		// the return ends the stream, and the send with it.
		return status.FromContextError(ctx.Err()).Err()
	}
}

// receive reads the agent's messages until its stream ends.
func (s *Service) receive(stream ensignv1.AgentService_ConnectServer, caller identity.Caller, live *session) error {
	ctx := stream.Context()
	limit := rate.NewLimiter(reportsPerSecond, reportBurst)
	name := ""
	defer func() { s.registry.remove(name, live) }()
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if answer := message.GetAnswer(); answer != nil {
			live.deliver(ctx, answer)
			continue
		}
		if err := limit.Wait(ctx); err != nil {
			return status.FromContextError(err).Err()
		}
		reporter, err := s.store(ctx, caller, name, message.GetReport())
		if err != nil {
			return err
		}
		if name == "" {
			name = reporter
			s.registry.add(name, live)
		}
		stored := &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_Stored{
			Stored: &ensignv1.ReportStored{Sequence: message.GetReport().GetSequence()},
		}}
		if err := live.send(ctx, stored); err != nil {
			return err
		}
	}
}

// refusal keeps the code of an error that has one.
func refusal(err error) error {
	if coded, ok := status.FromError(err); ok {
		return coded.Err()
	}
	return status.Error(codes.PermissionDenied, err.Error())
}

// store keeps one report, after it is clear that the caller may speak for the
// pod, and that it is the one that the stream is bound to, if it is yet.
func (s *Service) store(ctx context.Context, caller identity.Caller, bound string, r *ensignv1.Report) (string, error) {
	if r == nil {
		return "", status.Error(codes.InvalidArgument, "the message holds neither a report nor an answer")
	}
	namespace, pod, err := s.nodes.Pod(caller, r.NodeId)
	if err != nil {
		return "", refusal(err)
	}
	if bound != "" && bound != namespace+"/"+pod {
		return "", status.Errorf(codes.PermissionDenied, "this stream reports for %s; open another for %s/%s", bound, namespace, pod)
	}
	if err := s.reports.Put(ctx, toStore(r, caller, namespace, pod)); err != nil {
		s.log.ErrorContext(ctx, "report not stored", "pod", namespace+"/"+pod, "error", err)
		return "", status.Error(codes.Unavailable, "the report could not be stored; send it again")
	}
	return namespace + "/" + pod, nil
}

func toStore(r *ensignv1.Report, caller identity.Caller, namespace, pod string) report.Report {
	stored := report.Report{
		SPIFFEID:           caller.Account.String(),
		Namespace:          namespace,
		Pod:                pod,
		NodeID:             r.NodeId,
		Sequence:           r.Sequence,
		ServedFingerprints: r.ServedFingerprints,
		EnvoyVersion:       r.EnvoyVersion,
		AgentClock:         r.Clock.AsTime(),
		SecretError:        r.SecretError,
		ReceivedAt:         time.Now(),
	}
	if acked := r.Acknowledged; acked != nil {
		stored.AckedSerial = acked.Serial
		stored.AckedFingerprint = acked.Fingerprint
		stored.AckedBundle = acked.Bundle
		stored.AckedAt = acked.AcknowledgedAt.AsTime()
	}
	return stored
}
