package xds

import (
	"errors"
	"sync"
	"sync/atomic"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/mesh"
)

// Server is the aggregated discovery service.
type Server struct {
	config  Config
	metrics *metrics
	catalog *catalog
	holds   *holds
	snap    atomic.Pointer[mesh.Snapshot] // nil until the first Update

	updating sync.Mutex // one Update at a time
	mu       sync.Mutex
	sessions map[*session]struct{}
	recycled map[string]uint64 // revisions, by proxy; see Recycle
}

// New makes a server that is not ready: it refuses streams until the first Update.
func New(c Config) (*Server, error) {
	c, err := c.validated()
	if err != nil {
		return nil, err
	}
	m := newMetrics(c.Registerer)
	return &Server{
		config: c, metrics: m, catalog: newCatalog(m, c.Logger, c.ScopeIdle), holds: newHolds(m),
		sessions: map[*session]struct{}{}, recycled: map[string]uint64{},
	}, nil
}

// Register serves the discovery service on r, which must have been made with
// grpc.ForceServerCodecV2([Codec]()).
func (s *Server) Register(r grpc.ServiceRegistrar) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(r, discovery{server: s})
}

// Ready says whether there was an Update.
func (s *Server) Ready() bool { return s.snap.Load() != nil }

// Update makes snap what clients are told. ch says what is not the same in it as
// in the snapshot before; it is ignored at the first call.
func (s *Server) Update(snap *mesh.Snapshot, ch mesh.ChangeSet) {
	s.updating.Lock()
	defer s.updating.Unlock()
	span := s.span()
	defer span.End()
	s.metrics.pushes.Inc()
	changed := s.catalog.update(snap, ch)
	s.snap.Store(snap)
	s.holds.prune(s.catalog.current)
	if len(ch.Workloads) > 0 {
		s.forgetRecycled(snap)
	}
	streams := s.pokeAll()
	span.SetAttributes(attribute.Int64("generation", int64(snap.Generation)), attribute.Int("streams", streams))
	for k, n := range changed {
		if n > 0 {
			span.SetAttributes(attribute.Int("changed."+kind(k).label(), n))
		}
	}
}

// span is the trace of one push; one that records nothing without a tracer.
func (s *Server) span() trace.Span {
	if s.config.Tracer == nil {
		return noop.Span{}
	}
	_, span := s.config.Tracer.Start(s.config.Context, "xds.push")
	return span
}

// pokeAll makes every session look for changes, and answers how many there are.
func (s *Server) pokeAll() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.sessions {
		c.poke()
	}
	return len(s.sessions)
}

// stream serves one stream of either protocol.
func (s *Server) stream(g grpc.ServerStream, sotw bool) error {
	caller, ok := identity.CallerFrom(g.Context())
	if !ok {
		return s.rejected(refuse(codes.Unauthenticated, "no_identity", "the stream carries no proof of identity; bring a token or an SVID"))
	}
	if !s.Ready() {
		return s.rejected(refuse(codes.Unavailable, "not_ready", "the mesh is not loaded yet; try again"))
	}
	c := newSession(s, caller, sotw)
	s.mu.Lock()
	s.sessions[c] = struct{}{}
	s.mu.Unlock()
	s.metrics.streams.Inc()
	defer func() {
		s.mu.Lock()
		delete(s.sessions, c)
		s.mu.Unlock()
		s.metrics.streams.Dec()
	}()
	err := s.rejected(c.serve(g))
	c.log.Info("proxy disconnected", "reason", err)
	return err
}

// rejected counts the end of a stream that its client brought about.
func (s *Server) rejected(err error) error {
	if r := (*refusal)(nil); errors.As(err, &r) {
		s.metrics.rejected.WithLabelValues(r.reason).Inc()
	}
	return err
}

// count notes a response that is about to be sent.
func (s *Server) count(r *response, k kind) {
	label := stranger(r.typeURL)
	if k >= 0 {
		label = k.label()
	}
	s.metrics.responses.WithLabelValues(label).Inc()
	s.metrics.sentBytes.WithLabelValues(label).Add(float64(r.size()))
}

// discovery is the gRPC face of a server.
type discovery struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server *Server
}

// DeltaAggregatedResources serves delta xDS.
func (d discovery) DeltaAggregatedResources(g discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return d.server.stream(g, false)
}

// StreamAggregatedResources serves state-of-the-world xDS.
func (d discovery) StreamAggregatedResources(g discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return d.server.stream(g, true)
}
