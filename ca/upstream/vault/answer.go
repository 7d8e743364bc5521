package vault

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
)

// maxChain is how many certificates a chain may hold.
const maxChain = 8

// certificateOf reads the one certificate that an answer is about.
func certificateOf(data map[string]any) (*x509.Certificate, error) {
	text, _ := data["certificate"].(string)
	return parseOne(text)
}

// chain is an issuer by its name, what is above it, and the root last. Vault tells
// it without a token.
func (c *client) chain(ctx context.Context, name string) ([]*x509.Certificate, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	answer, err := c.read(ctx, "", c.cfg.Mount+"/issuer/"+name+"/json")
	if err != nil {
		return nil, err
	}
	return chainOf(answer.Data)
}

// has says whether the mount has an issuer of a name. Vault tells it without a token.
func (c *client) has(ctx context.Context, name string) (bool, error) {
	answer, err := c.ask("", func(lib *api.Client) (*api.Secret, error) {
		return lib.Logical().ListWithContext(ctx, c.cfg.Mount+"/issuers")
	})
	if err != nil || answer == nil { // none at all
		return false, err
	}
	infos, _ := answer.Data["key_info"].(map[string]any)
	for _, info := range infos {
		if of, _ := info.(map[string]any); of["issuer_name"] == name {
			return true, nil
		}
	}
	return false, nil
}

// chainOf reads certificate and ca_chain, and puts them into order: each signed by
// the next, the last by itself.
func chainOf(data map[string]any) ([]*x509.Certificate, error) {
	cert, err := certificateOf(data)
	if err != nil {
		return nil, err
	}
	list, _ := data["ca_chain"].([]any)
	if len(list) > maxChain {
		return nil, fmt.Errorf("%w: a chain of %d certificates, at most %d", ErrAnswer, len(list), maxChain)
	}
	var others []*x509.Certificate
	for _, item := range list {
		text, _ := item.(string)
		other, err := parseOne(text)
		if err != nil {
			return nil, err
		}
		others = append(others, other)
	}
	return climb(cert, others)
}

// climb goes from a certificate up to the root.
func climb(cert *x509.Certificate, others []*x509.Certificate) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{cert}
	for cert.CheckSignatureFrom(cert) != nil {
		parent := parentOf(cert, others)
		if parent == nil || len(chain) > maxChain {
			return nil, fmt.Errorf("%w: the chain ends at %q, which is signed by %q: import that CA's certificate into the mount, up to the root",
				ErrAnswer, cert.Subject, cert.Issuer)
		}
		chain, cert = append(chain, parent), parent
	}
	return chain, nil
}

func parentOf(cert *x509.Certificate, others []*x509.Certificate) *x509.Certificate {
	for _, o := range others {
		if !o.Equal(cert) && cert.CheckSignatureFrom(o) == nil {
			return o
		}
	}
	return nil
}

func parseOne(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Errorf("%w: no PEM certificate where one should be", ErrAnswer)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	return cert, nil
}
