package satoken

import (
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/ensign-mesh/ensign/identity"
)

// maxDate is the last second of the year 9999: beyond it times have no RFC 3339 form.
const maxDate = 253402300799

// claims is the body of a token, in Kubernetes' own shape.
type claims struct {
	Audience   jwt.Audience `json:"aud"`
	Expiry     int64        `json:"exp"`
	IssuedAt   int64        `json:"iat"`
	Issuer     string       `json:"iss"`
	ID         string       `json:"jti"`
	Kubernetes bound        `json:"kubernetes.io"`
	NotBefore  int64        `json:"nbf"`
	Subject    string       `json:"sub"`
}

type bound struct {
	Namespace string  `json:"namespace"`
	Pod       *object `json:"pod,omitempty"`
	Account   object  `json:"serviceaccount"`
}

type object struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

func subject(namespace, account string) string {
	return "system:serviceaccount:" + namespace + ":" + account
}

// checkShape refuses what no minter of ours writes.
func (c claims) checkShape() error {
	k := c.Kubernetes
	switch {
	case c.ID == "" || len(c.ID) > 256:
		return fmt.Errorf("%w: jti is missing or longer than 256 bytes", identity.ErrMalformed)
	case c.Expiry <= 0 || c.Expiry > maxDate:
		return fmt.Errorf("%w: exp is missing or out of range", identity.ErrMalformed)
	case c.IssuedAt <= 0 || c.IssuedAt > c.Expiry:
		return fmt.Errorf("%w: iat is missing or behind exp", identity.ErrMalformed)
	case c.NotBefore < 0 || c.NotBefore > c.Expiry:
		return fmt.Errorf("%w: nbf is out of range", identity.ErrMalformed)
	case time.Duration(c.Expiry-c.IssuedAt)*time.Second > MaxTTL:
		return fmt.Errorf("%w: life of the token is over %s", identity.ErrMalformed, MaxTTL)
	case k.Namespace == "" || k.Account.Name == "":
		return fmt.Errorf("%w: kubernetes.io names no service account", identity.ErrMalformed)
	case c.Subject != subject(k.Namespace, k.Account.Name):
		return fmt.Errorf("%w: sub %q is not the service account of kubernetes.io", identity.ErrMalformed, c.Subject)
	case k.Pod != nil && k.Pod.Name == "":
		return fmt.Errorf("%w: kubernetes.io names a pod without a name", identity.ErrMalformed)
	}
	return nil
}

// checkTime compares with the clock. Expiry has no leeway.
func (c claims) checkTime(now time.Time) error {
	if expiry := time.Unix(c.Expiry, 0); !now.Before(expiry) {
		return fmt.Errorf("%w: token %s ended at %s: get a new one", identity.ErrExpired, c.ID, expiry.UTC().Format(time.RFC3339))
	}
	if start := time.Unix(max(c.NotBefore, c.IssuedAt), 0); now.Add(Skew).Before(start) {
		return fmt.Errorf("%w: token %s starts at %s: compare the clocks", identity.ErrNotYetValid, c.ID, start.UTC().Format(time.RFC3339))
	}
	return nil
}
