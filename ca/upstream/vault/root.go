package vault

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// maxLeeway is how much earlier an issuer ends than was asked for, at most, so
// that a Vault whose clock is ahead by less does not make one that ends later.
const maxLeeway = 5 * time.Minute

// root is an issuer of Vault's by its name, and what was recorded of it: whatever
// Vault has under that name later, this is the root. It implements [rotation.Root].
type root struct {
	place *Place
	name  string
	chain []*x509.Certificate
}

// Chain implements [rotation.Root].
func (r *root) Chain() []*x509.Certificate { return r.chain }

// CertifyIssuer implements [rotation.Root]. It ends within [Config].Timeout. A
// template that bears a root's name is a link, which the rotation's credentials sign.
func (r *root) CertifyIssuer(ctx context.Context, request ca.IssuerRequest) ([]*x509.Certificate, error) {
	if request.Template == nil || !request.Template.IsCA || !request.Template.MaxPathLenZero || len(request.CSR) == 0 {
		return nil, fmt.Errorf("vault is asked only for issuers of path length 0, with their signing request")
	}
	if !strings.HasPrefix(request.Template.Subject.CommonName, rootPrefix) {
		chain, err := r.sign(ctx, r.place.daily, request, issuerLife(request.Template))
		r.place.daily.health.signed(r.name, err, time.Now())
		return chain, err
	}
	if r.place.rotation == nil {
		return nil, fmt.Errorf("signing %q: %w", request.Template.Subject, ErrNoRotation)
	}
	return r.sign(ctx, r.place.rotation, request, r.linkLife(request.Template.NotAfter, time.Now()))
}

// sign asks for one certificate and returns its chain, without the root.
func (r *root) sign(ctx context.Context, c *client, request ca.IssuerRequest, life time.Duration) ([]*x509.Certificate, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	path := r.place.signPath(r.name, "")
	answer, err := c.write(ctx, path, r.signRequest(request, life))
	if err != nil {
		return nil, err
	}
	cert, err := certificateOf(answer.Data)
	if err == nil {
		err = r.checkSigned(cert, request)
	}
	if err != nil {
		c.refused(err)
		return nil, fmt.Errorf("certificate signed by %s: %w", path, err)
	}
	return append([]*x509.Certificate{cert}, r.chain[:len(r.chain)-1]...), nil
}

// signRequest is the request. Each field is one that the policies in deploy/vault
// pin or demand; what is not named here they deny. Values are strings, since that
// is how policies compare them.
func (r *root) signRequest(request ca.IssuerRequest, life time.Duration) map[string]any {
	body := map[string]any{
		"csr":                   string(pem.EncodeToMemory(&pem.Block{Type: csrType, Bytes: request.CSR})),
		"common_name":           request.Template.Subject.CommonName,
		"organization":          r.place.cfg.TrustDomain.Name(),
		"exclude_cn_from_sans":  "true",
		"max_path_length":       "0",
		"permitted_uri_domains": strings.Join(request.Template.PermittedURIDomains, ","),
		"not_before_duration":   seconds(ca.Backdate),
		"ttl":                   seconds(life),
	}
	if names := request.Template.PermittedDNSDomains; len(names) > 0 { // of a link
		body["permitted_dns_domains"] = strings.Join(names, ",")
	}
	return body
}

// issuerLife is what Vault is asked for to get an issuer of the template's life:
// the value that deploy/vault pins.
func issuerLife(template *x509.Certificate) time.Duration {
	return TTL(template.NotAfter.Sub(template.NotBefore) - ca.Backdate)
}

// TTL is what Vault is asked for to get an issuer of a given life. It is shorter by
// a tenth, five minutes at most.
func TTL(life time.Duration) time.Duration {
	return (life - min(maxLeeway, life/10)).Truncate(time.Second)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%ds", d/time.Second) }
