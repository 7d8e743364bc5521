package rotation

import (
	"context"
	"crypto/x509"

	"github.com/ensign-mesh/ensign/ca"
)

// Root signs issuers.
type Root interface {
	// Chain begins with the CA that signs issuers and ends with the root that workloads
	// trust; of a root that signs itself it is that one certificate.
	Chain() []*x509.Certificate
	// CertifyIssuer is that of [ca.Upstream].
	CertifyIssuer(ctx context.Context, r ca.IssuerRequest) (chain []*x509.Certificate, err error)
	// Request is a PKCS#10 request (DER) for the key and subject of Chain()[0]. The root
	// before signs it, which shows those who know only that one that this one follows.
	Request(ctx context.Context) ([]byte, error)
}

// Place is where roots live.
type Place interface {
	// Make makes a root under a name that the place keeps (lower-case letters, digits
	// and -, at most 40), or finds the one that an earlier call made, however that ended.
	Make(ctx context.Context, name string) (Root, error)
	// Open is a root that was made, by its name and chain. It asks nobody.
	Open(ctx context.Context, name string, chain []*x509.Certificate) (Root, error)
	// Healthy says why the root of a name could not certify the next issuer, as far as is
	// known without asking anybody; nil if it could. What only another root of the place
	// suffers from is no reason. The name "" is that of a root to be made. The error says
	// what to do, and is an [*Ailment] where it is known since when.
	Healthy(name string) error
}

// First finds or makes the root that the mesh begins with, and its name in its place.
// The ledger has its entry (of kind root) when it returns.
type First func(ctx context.Context) (name string, root Root, err error)

// The places.
const (
	Builtin  = "builtin"
	Imported = "imported"
	Vault    = "vault"
)
