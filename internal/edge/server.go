package edge

import (
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Limits of one connection. An agent holds one connection with a handful of
// streams; what asks for more is no agent.
const (
	// An agent that comes back names all that it has: 10,000 resources with
	// their versions are a few MiB.
	maxRequestBytes = 4 << 20
	maxStreams      = 16
	maxHeaderBytes  = 64 << 10
	handshakeWithin = 10 * time.Second
	// A connection without streams has no proven caller.
	idleFor = time.Minute
	// Bounds what a peer that never reads leaves behind. New streams go to a new
	// connection from then on; those that are open are cut after the grace,
	// and their agents come back.
	maxAge      = 24 * time.Hour
	maxAgeGrace = time.Hour
	// What a peer may send before anybody reads it, on a stream and in all. Fixed,
	// since gRPC would let it grow to 16 MiB.
	streamWindow     = 64 << 10
	connectionWindow = 256 << 10
)

// Server is a gRPC server all of whose RPCs pass the gate before a byte of their
// requests is read. Services register on it as on a [grpc.Server].
type Server struct{ grpc *grpc.Server }

// NewServer is a server behind the gate. More options must not set interceptors.
func NewServer(id Identity, gate *Gate, more ...grpc.ServerOption) *Server {
	options := append([]grpc.ServerOption{
		grpc.Creds(credentials.NewTLS(TLSConfig(id))),
		grpc.StreamInterceptor(gate.Stream),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		grpc.ConnectionTimeout(handshakeWithin),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second,
			MaxConnectionIdle: idleFor, MaxConnectionAge: maxAge, MaxConnectionAgeGrace: maxAgeGrace,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}, more...)
	return &Server{grpc: grpc.NewServer(options...)}
}

// RegisterService implements [grpc.ServiceRegistrar].
func (s *Server) RegisterService(service *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(gated(service), impl)
}

// Serve serves until Stop, as [grpc.Server.Serve] does.
func (s *Server) Serve(listener net.Listener) error { return s.grpc.Serve(listener) }

// Stop cuts all connections.
func (s *Server) Stop() { s.grpc.Stop() }
