package edge

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/ensign-mesh/ensign/identity"
)

// credentialsFrom collects what the caller of an RPC brought: at most one
// bearer token (RFC 6750 section 2.1) and the chain that TLS verified.
func credentialsFrom(ctx context.Context) (identity.Credentials, error) {
	var c identity.Credentials
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
			c.Chain = info.State.VerifiedChains[0]
		}
	}
	md, _ := metadata.FromIncomingContext(ctx)
	headers := md.Get("authorization")
	if len(headers) > 1 {
		return identity.Credentials{}, fmt.Errorf("%d authorization headers, want one: %w", len(headers), identity.ErrMalformed)
	}
	if len(headers) == 1 {
		scheme, token, ok := strings.Cut(headers[0], " ")
		if !ok || !strings.EqualFold(scheme, "bearer") || token == "" {
			return identity.Credentials{}, fmt.Errorf("authorization is not of the form `Bearer TOKEN`: %w", identity.ErrMalformed)
		}
		c.Token = token
	}
	return c, nil
}

// remoteAddress is the caller's host and port, for records.
func remoteAddress(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}
