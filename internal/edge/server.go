package edge

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// Limits of one connection. An agent holds one connection with a handful of
// streams; what asks for more is no agent.
const (
	maxRequestBytes = 4 << 20
	maxStreams      = 100
	maxHeaderBytes  = 64 << 10
	handshakeWithin = 10 * time.Second
)

// NewServer is a gRPC server behind the gate.
func NewServer(id Identity, gate *Gate, more ...grpc.ServerOption) *grpc.Server {
	options := append([]grpc.ServerOption{
		grpc.Creds(credentials.NewTLS(TLSConfig(id))),
		grpc.UnaryInterceptor(gate.Unary),
		grpc.StreamInterceptor(gate.Stream),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.ConnectionTimeout(handshakeWithin),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}, more...)
	return grpc.NewServer(options...)
}
