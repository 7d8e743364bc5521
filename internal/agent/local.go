package agent

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/ensign-mesh/ensign/internal/peercred"
)

// gRPC's default of 32 KiB a connection and direction is more than the rest of an
// idle connection.
const bufferSize = 4 << 10

// A request on the SDS socket holds a few names and the node, some 60 KB.
const maxSecretRequest = 512 << 10

// Envoy opens one connection a cluster and worker at most, and few streams on it.
const maxStreams = 128

// newLocalServer makes a gRPC server for the Envoy beside us: a peer of another
// user is refused before its first byte is read.
func newLocalServer(options ...grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(options,
		grpc.Creds(peercred.Credentials(uint32(os.Getuid()))),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(10*time.Second),
		grpc.ReadBufferSize(bufferSize), grpc.WriteBufferSize(bufferSize), grpc.SharedWriteBuffer(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)...)
}

// serveLocal serves until ctx ends.
func serveLocal(ctx context.Context, server *grpc.Server, listener net.Listener) error {
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return nil
}
