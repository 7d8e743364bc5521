package agents

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/identity"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Reports keeps what agents say; a call returns only when it is durable.
type Reports interface {
	Put(ctx context.Context, r report.Report) error
	PutSightings(ctx context.Context, sightings []report.Sighting) error
}

// Nodes says which pod a node ID means, if this caller may speak for it now. It is
// asked for every message. Errors that are a gRPC status are answered as they are.
type Nodes interface {
	Pod(ctx context.Context, caller identity.Caller, nodeID string) (Pod, error)
}

// Pod is the one that an agent speaks for. The UID tells it from an earlier one of
// the same name.
type Pod struct{ Namespace, Name, UID string }

// String is the name by which everybody knows it, "NAMESPACE/POD".
func (p Pod) String() string { return p.Namespace + "/" + p.Name }

// Config joins what the service leans on.
type Config struct {
	Registry *Registry
	Reports  Reports
	Nodes    Nodes
	Orders   Orders
	Roots    Roots
	Ledger   Ledger
	Logger   *slog.Logger
}

// Service implements ensign.v1.AgentService.
type Service struct {
	ensignv1.UnimplementedAgentServiceServer
	config Config
	// opened is how many streams there were.
	opened atomic.Uint64
}

// NewService makes the service. All of the configuration is needed.
func NewService(c Config) *Service { return &Service{config: c} }

// Connect serves one agent until its stream or its proof ends.
func (s *Service) Connect(stream ensignv1.AgentService_ConnectServer) error {
	ctx := stream.Context()
	caller, ok := identity.CallerFrom(ctx)
	if !ok {
		return status.Error(codes.Unauthenticated, identity.ErrNoProof.Error())
	}
	live := newSession(s.opened.Add(1))
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
	words := newIntake(s.config, caller, live)
	defer words.leave()
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := words.take(stream.Context(), message); err != nil {
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
