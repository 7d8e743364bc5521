package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/ensign-mesh/ensign/sds"
)

// verifier is how the control plane is verified: by name, against the roots that are
// believed at the moment of the handshake.
type verifier struct {
	check serverCheck
	roots *sds.Roots
	svid  *sds.SVID // nil: we show none
}

func (v verifier) tlsConfig() (*tls.Config, error) {
	anchors, err := v.roots.Anchors()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: v.check.name,
		// Not skipped: VerifyConnection does it, in every handshake and before we show
		// anything. Go's own check would refuse whoever follows by links.
		InsecureSkipVerify: true,
		VerifyConnection:   func(state tls.ConnectionState) error { return v.verify(anchors, state.PeerCertificates) },
	}
	if v.svid != nil {
		config.Certificates = []tls.Certificate{v.svid.TLSCertificate()}
	}
	return config, nil
}

func (v verifier) verify(anchors sds.Anchors, shown []*x509.Certificate) error {
	follows, err := v.check.verify(anchors.Roots, shown, time.Now())
	if err != nil {
		return fmt.Errorf("verifying the control plane: %w", err)
	}
	if follows != nil {
		v.roots.Learn(anchors, follows)
	}
	return nil
}

// freshTLS is gRPC's TLS with the trusted roots asked for again for each handshake.
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
	return credentials.ProtocolInfo{SecurityProtocol: "tls", ServerName: f.check.name}
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
