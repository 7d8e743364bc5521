package peercred

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/credentials"
)

// Info is the peer of one connection, as the kernel tells it; it is the gRPC
// AuthInfo of connections that Credentials let in.
type Info struct {
	credentials.CommonAuthInfo
	UID uint32
	PID int32
}

// AuthType says how the peer was found out.
func (Info) AuthType() string { return "peercred" }

// ErrRefused is the error for a peer of another user.
var ErrRefused = errors.New("peer's user may not use this socket")

// Credentials are gRPC server credentials that let in the peers of these users only.
func Credentials(uids ...uint32) credentials.TransportCredentials {
	return &guard{uids: uids}
}

type guard struct{ uids []uint32 }

// ServerHandshake refuses before the first byte is read.
func (g *guard) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info, err := peerOf(conn)
	if err == nil && !slices.Contains(g.uids, info.UID) {
		err = fmt.Errorf("uid %d: %w", info.UID, ErrRefused)
	}
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, info, nil
}

func peerOf(conn net.Conn) (Info, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return Info{}, fmt.Errorf("%T is no Unix socket: %w", conn, ErrRefused)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return Info{}, fmt.Errorf("reading peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var inner error
	err = raw.Control(func(fd uintptr) {
		cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, inner); err != nil {
		return Info{}, fmt.Errorf("reading peer credentials: %w", err)
	}
	// The kernel vouches for both ends and nothing leaves it: as private as TLS.
	level := credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}
	return Info{CommonAuthInfo: level, UID: cred.Uid, PID: cred.Pid}, nil
}

// ClientHandshake is not for this side.
func (g *guard) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("peercred credentials are for servers")
}

// Info describes the protocol.
func (g *guard) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peercred"}
}

// Clone copies the credentials.
func (g *guard) Clone() credentials.TransportCredentials { return &guard{uids: g.uids} }

// OverrideServerName does nothing: a Unix socket has no server name.
func (g *guard) OverrideServerName(string) error { return nil }
