package vault

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"
)

// linkLives are how long links may live: a year, 30 days, a day or an hour, each less
// [maxLeeway] for a Vault whose clock is ahead. The policy in deploy/vault pins them.
var linkLives = []time.Duration{TTL(8760 * time.Hour), TTL(720 * time.Hour), TTL(24 * time.Hour), TTL(time.Hour)}

// linkMargin is by how much a link ends earlier than asked at least.
const linkMargin = 2 * time.Minute

// linkLife is the longest of those allowed that does not end after the given time.
// Vault cuts each at the end of its signer.
func (r *root) linkLife(notAfter, now time.Time) time.Duration {
	end := r.chain[0].NotAfter
	for _, life := range linkLives {
		if !end.After(notAfter) || !now.Add(life+linkMargin).After(notAfter) {
			return life
		}
	}
	return linkLives[len(linkLives)-1]
}

// Request implements [rotation.Root]. It ends within [Config].Timeout, and needs the
// rotation's credentials.
func (r *root) Request(ctx context.Context) ([]byte, error) {
	if r.place.rotation == nil {
		return nil, fmt.Errorf("requesting a link for root %s: %w", r.name, ErrNoRotation)
	}
	ctx, cancel := r.place.rotation.bounded(ctx)
	defer cancel()
	key, err := r.key(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding the key of root %s in vault: %w", r.name, err)
	}
	answer, err := r.place.rotation.write(ctx, r.place.cfg.Mount+"/intermediate/cross-sign", map[string]any{
		"key_ref":              key,
		"common_name":          r.chain[0].Subject.CommonName,
		"organization":         r.place.cfg.TrustDomain.Name(),
		"exclude_cn_from_sans": "true",
	})
	if err != nil {
		return nil, fmt.Errorf("requesting a link for root %s: %w", r.name, err)
	}
	der, err := r.checkRequest(answer.Data)
	if err != nil {
		r.place.rotation.refused(err)
		return nil, fmt.Errorf("requesting a link for root %s: %w", r.name, err)
	}
	return der, nil
}

// key is Vault's ID of the root's key.
func (r *root) key(ctx context.Context) (string, error) {
	answer, err := r.place.rotation.readAs(ctx, r.place.cfg.Mount+"/issuer/"+r.name)
	if err != nil {
		return "", err
	}
	cert, err := certificateOf(answer.Data)
	if err != nil {
		return "", err
	}
	if !cert.Equal(r.chain[0]) {
		return "", fmt.Errorf("%w: its issuer %s is %q of serial %x, was %q of serial %x",
			ErrOtherRoot, r.name, cert.Subject, cert.SerialNumber, r.chain[0].Subject, r.chain[0].SerialNumber)
	}
	key, _ := answer.Data["key_id"].(string)
	if key == "" {
		return "", fmt.Errorf("%w: vault does not hold it", ErrAnswer)
	}
	return key, nil
}

// csrType is the PEM type of a PKCS#10 request.
const csrType = "CERTIFICATE REQUEST"

func (r *root) checkRequest(data map[string]any) ([]byte, error) {
	text, _ := data["csr"].(string)
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != csrType {
		return nil, fmt.Errorf("%w: no PEM request where one should be", ErrAnswer)
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = csr.CheckSignature()
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	case !bytes.Equal(csr.RawSubjectPublicKeyInfo, r.chain[0].RawSubjectPublicKeyInfo):
		return nil, fmt.Errorf("%w: a request for another key", ErrAnswer)
	case !bytes.Equal(csr.RawSubject, r.chain[0].RawSubject):
		return nil, fmt.Errorf("%w: a request of %q for root %q", ErrAnswer, csr.Subject, r.chain[0].Subject)
	}
	return block.Bytes, nil
}
