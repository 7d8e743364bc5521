package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/ensign-mesh/ensign/sds"
)

// verifier is how the control plane is verified: by name, against the bundle file
// and, when we show an SVID, the roots that came with it.
type verifier struct {
	serverName string
	trust      trustFile
	svid       *sds.SVID // nil: we show none
}

func (v verifier) tlsConfig() (*tls.Config, error) {
	roots, err := v.trust.roots()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: v.serverName, RootCAs: x509.NewCertPool()}
	if v.svid != nil {
		config.Certificates = []tls.Certificate{v.svid.TLSCertificate()}
		roots = append(roots, v.svid.Roots...)
	}
	for _, root := range roots {
		config.RootCAs.AddCert(root)
	}
	return config, nil
}

// freshTLS is gRPC's TLS with the bundle file read again for each handshake.
type freshTLS struct{ verifier }

// ClientHandshake fails before it sends anything if the bundle file is unusable.
func (f freshTLS) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, err := f.tlsConfig()
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(config).ClientHandshake(ctx, authority, conn)
}

// ServerHandshake is not for this side.
func (f freshTLS) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for clients")
}

// Info describes the protocol.
func (f freshTLS) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls", ServerName: f.serverName}
}

// Clone copies the credentials.
func (f freshTLS) Clone() credentials.TransportCredentials { return f }

// OverrideServerName does nothing: the name is part of the configuration.
func (f freshTLS) OverrideServerName(string) error { return nil }

// bearer adds the token to each call; gRPC asks for it after the handshake only.
type bearer struct{ file tokenFile }

// GetRequestMetadata reads the token file again.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := b.file.token()
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity keeps the token off any connection that is not TLS.
func (b bearer) RequireTransportSecurity() bool { return true }
