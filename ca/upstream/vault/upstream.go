package vault

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
)

// maxLeeway is how much earlier an issuer ends than was asked for, at most, so
// that a Vault whose clock is ahead by less does not make one that ends later.
const maxLeeway = 5 * time.Minute

// Upstream is the root that lives in Vault. It implements [ca.Upstream] and is
// safe for concurrent use.
type Upstream struct {
	client *Client
	td     spiffeid.TrustDomain
	bundle ca.Bundle
}

// Bundle implements [ca.Upstream]: the roots that were recorded, without asking Vault.
func (u *Upstream) Bundle(context.Context) (ca.Bundle, error) { return u.bundle, nil }

// Signing implements [ca.Upstream].
func (u *Upstream) Signing() *x509.Certificate { return u.bundle.Roots()[0] }

// CertifyIssuer implements [ca.Upstream]. It ends within [Config].Timeout.
func (u *Upstream) CertifyIssuer(ctx context.Context, r ca.IssuerRequest) ([]*x509.Certificate, error) {
	ctx, cancel := u.client.bounded(ctx)
	defer cancel()
	if r.Template == nil || !r.Template.IsCA || !r.Template.MaxPathLenZero || len(r.CSR) == 0 {
		return nil, fmt.Errorf("vault is asked only for issuers of path length 0, with their signing request")
	}
	path := u.client.cfg.Mount + "/issuer/" + u.client.cfg.Issuer + "/sign-intermediate"
	answer, err := u.client.write(ctx, path, signIntermediate(r, u.td))
	if err != nil {
		return nil, err
	}
	chain, err := signedChain(answer.Data)
	if err == nil {
		err = checkSigned(chain, r.Template, u.td, u.bundle)
	}
	if err != nil {
		u.client.metrics.requests.WithLabelValues(outcome(err)).Inc()
		return nil, fmt.Errorf("issuer signed by %s: %w", path, err)
	}
	return chain, nil
}

// signIntermediate is the request. Each field is one that the policy in
// deploy/vault pins or demands; what is not named here it denies. Values are
// strings, since that is how policies compare them.
func signIntermediate(r ca.IssuerRequest, td spiffeid.TrustDomain) map[string]any {
	return map[string]any{
		"csr":                   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r.CSR})),
		"common_name":           r.Template.Subject.CommonName,
		"organization":          td.Name(),
		"exclude_cn_from_sans":  "true",
		"max_path_length":       "0",
		"permitted_uri_domains": td.Name(),
		"not_before_duration":   seconds(ca.Backdate),
		"ttl":                   seconds(TTL(r.Template.NotAfter.Sub(r.Template.NotBefore) - ca.Backdate)),
	}
}

// TTL is what Vault is asked for to get an issuer of a given life: the value that
// deploy/vault pins. It is shorter by a tenth, five minutes at most.
func TTL(life time.Duration) time.Duration {
	return (life - min(maxLeeway, life/10)).Truncate(time.Second)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", d/time.Second) }
