package satoken

import (
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/ensign-mesh/ensign/identity"
)

// Minter makes tokens. It is safe for concurrent use.
type Minter struct {
	cfg    Config
	signer jose.Signer
}

// NewMinter makes tokens with an ECDSA P-256 key.
func NewMinter(key *ecdsa.PrivateKey, cfg Config) (*Minter, error) {
	cfg, err := cfg.validated()
	if err != nil {
		return nil, err
	}
	if key == nil {
		return nil, fmt.Errorf("service-account tokens need a signing key")
	}
	kid, err := keyID(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		return nil, fmt.Errorf("making the signer of service-account tokens: %w", err)
	}
	return &Minter{cfg: cfg, signer: signer}, nil
}

// Request names what a token is to prove.
type Request struct {
	Namespace string
	Account   string
	// Pod binds the token to one pod of the namespace; "" binds it to the account only.
	Pod string
	// Audience is whom the token is for; "" is the minter's own.
	Audience string
	// TTL is the token's life, MinTTL to MaxTTL.
	TTL time.Duration
}

// Token is a minted token.
type Token struct {
	// Text is the compact JWS. It is a secret: never log it.
	Text string
	// ID is the jti claim; what logs and the ledger name the token by.
	ID      string
	Expires time.Time
}

// Mint makes a token. Errors wrap [identity.ErrUnknownAccount] or
// [identity.ErrUnknownPod] when the mesh does not hold them, and
// [identity.ErrMismatch] when the pod runs as another account.
func (m *Minter) Mint(r Request) (Token, error) {
	if r.TTL < MinTTL || r.TTL > MaxTTL {
		return Token{}, fmt.Errorf("%w: ttl %s of a token must be %s to %s", identity.ErrMalformed, r.TTL, MinTTL, MaxTTL)
	}
	subjectOf, err := m.bind(r)
	if err != nil {
		return Token{}, err
	}
	audience := r.Audience
	if audience == "" {
		audience = m.cfg.Audience
	}
	now := time.Now()
	c := claims{
		Audience:   jwt.Audience{audience},
		Expiry:     now.Add(r.TTL).Unix(),
		IssuedAt:   now.Unix(),
		NotBefore:  now.Unix(),
		Issuer:     m.cfg.issuer(),
		ID:         rand.Text(),
		Kubernetes: subjectOf,
		Subject:    subject(r.Namespace, r.Account),
	}
	return m.sign(c)
}

// bind looks the account and the pod up, for their UIDs.
func (m *Minter) bind(r Request) (bound, error) {
	if _, err := identity.NewServiceAccount(m.cfg.TrustDomain, r.Namespace, r.Account); err != nil {
		return bound{}, err
	}
	uid, ok := m.cfg.Directory.Account(r.Namespace, r.Account)
	if !ok {
		return bound{}, fmt.Errorf("%w %s/%s: create the ServiceAccount first", identity.ErrUnknownAccount, r.Namespace, r.Account)
	}
	b := bound{Namespace: r.Namespace, Account: object{Name: r.Account, UID: uid}}
	if r.Pod == "" {
		return b, nil
	}
	pod, ok := m.cfg.Directory.Pod(r.Namespace, r.Pod)
	if !ok {
		return bound{}, fmt.Errorf("%w %s/%s: create the Pod first", identity.ErrUnknownPod, r.Namespace, r.Pod)
	}
	if pod.Account != r.Account {
		return bound{}, fmt.Errorf("%w: pod %s/%s runs as %q, not as %q", identity.ErrMismatch, r.Namespace, r.Pod, pod.Account, r.Account)
	}
	b.Pod = &object{Name: r.Pod, UID: pod.UID}
	return b, nil
}

func (m *Minter) sign(c claims) (Token, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return Token{}, fmt.Errorf("encoding token claims: %w", err)
	}
	jws, err := m.signer.Sign(body)
	if err != nil {
		return Token{}, fmt.Errorf("signing token: %w", err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		return Token{}, fmt.Errorf("serializing token: %w", err)
	}
	if len(text) > MaxSize {
		return Token{}, fmt.Errorf("%w: token of %d bytes is over %d: shorten the audience", identity.ErrMalformed, len(text), MaxSize)
	}
	return Token{Text: text, ID: c.ID, Expires: time.Unix(c.Expiry, 0)}, nil
}
