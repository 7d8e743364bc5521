package satoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

// DefaultAudience is what Istio's agents ask their tokens to be made for.
const DefaultAudience = "istio-ca"

// Limits of a token.
const (
	MaxSize = 16 << 10       // bytes of its text
	MinTTL  = time.Second    // shortest life
	MaxTTL  = 24 * time.Hour // longest life
	// Skew is by how much a minter's clock may run ahead of the verifier's. It
	// never prolongs a token: expiry is exact.
	Skew = 10 * time.Second
)

// Config is what a minter and an authenticator of one mesh share.
type Config struct {
	// TrustDomain binds tokens to this mesh through their issuer.
	TrustDomain spiffeid.TrustDomain
	// Audience that an authenticator demands and a minter uses when asked for
	// none; "" is DefaultAudience.
	Audience string
	// Directory says which accounts and pods exist.
	Directory identity.Directory
}

func (c Config) validated() (Config, error) {
	if c.TrustDomain.IsZero() {
		return Config{}, errors.New("service-account tokens need a trust domain")
	}
	if c.Directory == nil {
		return Config{}, errors.New("service-account tokens need a directory of accounts and pods")
	}
	if c.Audience == "" {
		c.Audience = DefaultAudience
	}
	return c, nil
}

// issuer is the iss claim of this mesh's tokens.
func (c Config) issuer() string { return "https://" + c.TrustDomain.Name() }

// keyID is the RFC 7638 thumbprint of a P-256 key.
func keyID(key *ecdsa.PublicKey) (string, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return "", errors.New("service-account tokens are signed with ECDSA P-256 only: make such a key")
	}
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
