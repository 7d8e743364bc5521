package sds

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Server is Envoy's secret discovery service for one Source. It hands out a
// private key: serve it only where the peer is known to be this workload's Envoy.
type Server struct {
	secretv3.UnimplementedSecretDiscoveryServiceServer
	source  *Source
	tracker *tracker
	metrics *Metrics
	logger  *slog.Logger

	mu    sync.Mutex // guards made
	made  map[string]secret
	ofThe *SVID
}

// NewServer makes a Server of the Source's secrets; metrics may be nil.
func NewServer(source *Source, metrics *Metrics, logger *slog.Logger) *Server {
	return &Server{source: source, tracker: newTracker(), metrics: metrics, logger: logger}
}

// Register adds the service to a gRPC server.
func (s *Server) Register(registrar grpc.ServiceRegistrar) {
	secretv3.RegisterSecretDiscoveryServiceServer(registrar, s)
}

// Acknowledged is what Envoy has taken so far, and a channel that is closed when
// that changes.
func (s *Server) Acknowledged() (Acknowledged, <-chan struct{}) { return s.tracker.watch() }

// secrets are the resources of the live SVID, none without one, and a channel
// that is closed when there are others.
func (s *Server) secrets() (map[string]secret, <-chan struct{}, error) {
	svid, changed := s.source.Watch()
	if _, err := s.source.Live(); err != nil {
		return nil, changed, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ofThe != svid {
		made, err := secretsOf(svid)
		if err != nil {
			return nil, changed, status.Error(codes.Internal, err.Error())
		}
		s.made, s.ofThe = made, svid
	}
	return s.made, changed, nil
}

// exchange is a stream of either kind, reduced to what differs between them.
type exchange[Request any] interface {
	Recv() (Request, error)
	Context() context.Context
}

// serve runs one stream: requests and new SVIDs lead to push.
func serve[Request any](s *Server, stream exchange[Request], take func(Request) error, push func(map[string]secret) error) error {
	requests, failed := make(chan Request), make(chan error, 1)
	ctx := stream.Context()
	go receive(ctx, stream, requests, failed)
	for {
		current, changed, err := s.secrets()
		if err == nil {
			err = push(current)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-changed:
		case request := <-requests:
			if err := take(request); err != nil {
				return err
			}
		}
	}
}

func receive[Request any](ctx context.Context, stream exchange[Request], requests chan<- Request, failed chan<- error) {
	for {
		request, err := stream.Recv()
		if err != nil {
			failed <- err
			return
		}
		select {
		case requests <- request:
		case <-ctx.Done():
			return
		}
	}
}
