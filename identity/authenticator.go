package identity

import (
	"context"
	"crypto/x509"
	"time"
)

// Proof names how a caller showed who it is.
type Proof string

// The proofs that exist.
const (
	ProofToken Proof = "token"
	ProofSVID  Proof = "svid"
)

// Credentials are what a caller brought, not yet believed.
type Credentials struct {
	// Token is the bearer token without its scheme; "" if none.
	Token string
	// Chain is the client's certificate chain as TLS verified it against the
	// mesh's roots, leaf first; nil if none.
	Chain []*x509.Certificate
}

// Caller is who a caller has proven to be.
type Caller struct {
	Account ServiceAccount
	// AccountUID is the UID of that account: another one of the same name is somebody else.
	AccountUID string
	// Pod is the name of the pod in the account's namespace that the proof is
	// bound to; "" when the proof speaks for the whole account.
	Pod string
	// PodUID is the UID of that pod and Node where it runs; "" with an empty Pod.
	PodUID string
	Node   string
	// Proof is how; TokenID (the token's jti) or Serial (of the SVID, lower-case hex) is which.
	Proof   Proof
	TokenID string
	Serial  string
	// TokenAt is when a token last proved the chain of renewals that this SVID
	// belongs to; zero with ProofToken, where that is now.
	TokenAt time.Time
	// IssuedAt is when the token of ProofToken was made (iat, whole seconds); zero
	// with ProofSVID.
	IssuedAt time.Time
	// Expires is when the proof ends; nothing that leans on it may outlive it.
	Expires time.Time
}

// Authenticator decides who brought the credentials. An error means nobody:
// callers refuse. Errors wrap one of the sentinels of this package.
type Authenticator interface {
	Authenticate(ctx context.Context, c Credentials) (Caller, error)
}

type callerKey struct{}

// WithCaller notes the caller of a request in its context.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom is the caller that WithCaller noted.
func CallerFrom(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}
