package satoken

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/ensign-mesh/ensign/identity"
)

// Authenticator checks tokens. It is safe for concurrent use.
type Authenticator struct {
	cfg Config
	key *ecdsa.PublicKey
	kid string
}

// NewAuthenticator checks tokens that the holder of one ECDSA P-256 key made.
func NewAuthenticator(key *ecdsa.PublicKey, cfg Config) (*Authenticator, error) {
	cfg, err := cfg.validated()
	if err != nil {
		return nil, err
	}
	kid, err := keyID(key)
	if err != nil {
		return nil, err
	}
	return &Authenticator{cfg: cfg, key: key, kid: kid}, nil
}

// Authenticate implements [identity.Authenticator] on [identity.Credentials].Token.
func (a *Authenticator) Authenticate(_ context.Context, c identity.Credentials) (identity.Caller, error) {
	if c.Token == "" {
		return identity.Caller{}, fmt.Errorf("%w: no bearer token", identity.ErrNoProof)
	}
	body, err := a.verify(c.Token)
	if err != nil {
		return identity.Caller{}, err
	}
	var cl claims
	// This decoder, unlike the standard one, refuses a claim that is there twice.
	if err := json.Unmarshal(body, &cl); err != nil {
		return identity.Caller{}, fmt.Errorf("%w: claims of the token are not readable", identity.ErrMalformed)
	}
	if err := a.checkClaims(cl); err != nil {
		return identity.Caller{}, err
	}
	return a.caller(cl)
}

// verify gives the body of a token with a good signature. Parse errors are not
// passed on: they may quote the token.
func (a *Authenticator) verify(token string) ([]byte, error) {
	if len(token) > MaxSize {
		return nil, fmt.Errorf("%w: token of %d bytes is over %d", identity.ErrMalformed, len(token), MaxSize)
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return nil, fmt.Errorf("%w: token is not a compact JWS signed with ES256", identity.ErrMalformed)
	}
	if len(jws.Signatures) != 1 || jws.Signatures[0].Header.KeyID != a.kid {
		return nil, a.untrusted(jws, "token is signed with another key")
	}
	body, err := jws.Verify(a.key)
	if err != nil {
		return nil, a.untrusted(jws, "signature of the token is wrong")
	}
	return body, nil
}

// untrusted refuses a token whose signature is not this mesh's. What such a
// token says of its issuer is used for nothing but the words of the refusal.
func (a *Authenticator) untrusted(jws *jose.JSONWebSignature, why string) error {
	var said struct {
		Issuer string `json:"iss"`
	}
	err := json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &said)
	if err == nil && said.Issuer != "" && said.Issuer != a.cfg.issuer() {
		return a.foreign(said.Issuer)
	}
	return fmt.Errorf("%w: %s", identity.ErrSignature, why)
}

func (a *Authenticator) foreign(issuer string) error {
	return fmt.Errorf("%w: token was issued by %.100q, this is %q", identity.ErrTrustDomain, issuer, a.cfg.issuer())
}

func (a *Authenticator) checkClaims(c claims) error {
	if c.Issuer != a.cfg.issuer() {
		return a.foreign(c.Issuer)
	}
	if err := c.checkShape(); err != nil {
		return err
	}
	if !c.Audience.Contains(a.cfg.Audience) {
		return fmt.Errorf("%w: token is for %.200q, not for %q", identity.ErrAudience, c.Audience, a.cfg.Audience)
	}
	return c.checkTime(time.Now())
}

// caller asks the directory whether account and pod are still those of the token.
func (a *Authenticator) caller(c claims) (identity.Caller, error) {
	k := c.Kubernetes
	account, err := identity.NewServiceAccount(a.cfg.TrustDomain, k.Namespace, k.Account.Name)
	if err != nil {
		return identity.Caller{}, err
	}
	uid, ok := a.cfg.Directory.Account(k.Namespace, k.Account.Name)
	if !ok || uid != k.Account.UID {
		return identity.Caller{}, fmt.Errorf("%w: %s/%s with the UID of token %s does not exist",
			identity.ErrUnknownAccount, k.Namespace, k.Account.Name, c.ID)
	}
	caller := identity.Caller{
		Account: account, AccountUID: uid, Proof: identity.ProofToken, TokenID: c.ID,
		IssuedAt: time.Unix(c.IssuedAt, 0), Expires: time.Unix(c.Expiry, 0),
	}
	if k.Pod == nil {
		return caller, nil
	}
	pod, ok := a.cfg.Directory.Pod(k.Namespace, k.Pod.Name)
	if !ok || pod.UID != k.Pod.UID {
		return identity.Caller{}, fmt.Errorf("%w: %s/%s with the UID of token %s does not exist",
			identity.ErrUnknownPod, k.Namespace, k.Pod.Name, c.ID)
	}
	if pod.Account != k.Account.Name {
		return identity.Caller{}, fmt.Errorf("%w: pod %s/%s runs as %q, its token %s is of %q",
			identity.ErrMismatch, k.Namespace, k.Pod.Name, pod.Account, c.ID, k.Account.Name)
	}
	caller.Pod, caller.PodUID, caller.Node = k.Pod.Name, pod.UID, pod.Node
	return caller, nil
}
