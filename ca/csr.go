package ca

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
)

// MaxCSRSize is how large the PEM text of a signing request may be, in bytes.
const MaxCSRSize = 64 << 10

const csrBlock = "CERTIFICATE REQUEST"

// CSR is a signing request that passed [ParseCSR]: a public key that its sender
// holds, and the URI that it may have named. Its subject is not kept.
type CSR struct {
	key  crypto.PublicKey
	spki []byte // canonical DER of the key's SubjectPublicKeyInfo
	uri  string // "" if the request names nothing
	raw  []byte // DER of the request
}

// PublicKey is the key to certify: *ecdsa.PublicKey, ed25519.PublicKey or *rsa.PublicKey.
func (c CSR) PublicKey() crypto.PublicKey { return c.key }

// URI is the one name that the request asks for; "" if it asks for none.
func (c CSR) URI() string { return c.uri }

// ParseCSR reads a PKCS#10 request (RFC 2986) from PEM text. The text is exactly
// one CERTIFICATE REQUEST; the key is P-256, P-384, Ed25519 or RSA of 2048 to
// 8192 bits; the signature is good; the only extension is a SAN that holds one
// URI. Every error is a [*CSRError]. Any subject is accepted and ignored.
func ParseCSR(text []byte) (CSR, error) {
	der, err := decodeCSR(text)
	if err != nil {
		return CSR{}, err
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return CSR{}, refuse(ReasonMalformed, "not a PKCS#10 request: %v", err)
	}
	// Sizes and algorithms first: a hostile key must not buy an expensive check.
	if err := checkKey(req.PublicKey); err != nil {
		return CSR{}, err
	}
	if err := checkSignatureAlgorithm(req); err != nil {
		return CSR{}, err
	}
	if err := checkAttributes(req.RawTBSCertificateRequest); err != nil {
		return CSR{}, err
	}
	uri, err := requestedURI(req.Extensions)
	if err != nil {
		return CSR{}, err
	}
	if err := req.CheckSignature(); err != nil {
		return CSR{}, refuse(ReasonSignature, "the request is not signed with its own key")
	}
	spki, err := x509.MarshalPKIXPublicKey(req.PublicKey)
	if err != nil {
		return CSR{}, refuse(ReasonMalformed, "key cannot be encoded: %v", err)
	}
	return CSR{key: req.PublicKey, spki: spki, uri: uri, raw: der}, nil
}

// NewCSR is a signing request for a key of this process's own. It names nothing.
func NewCSR(key crypto.Signer) (CSR, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return CSR{}, fmt.Errorf("making a signing request: %w", err)
	}
	return ParseCSR(pem.EncodeToMemory(&pem.Block{Type: csrBlock, Bytes: der}))
}

// decodeCSR unwraps the one PEM block.
func decodeCSR(text []byte) ([]byte, error) {
	if len(text) > MaxCSRSize {
		return nil, refuse(ReasonTooLarge, "%d bytes, at most %d are allowed", len(text), MaxCSRSize)
	}
	// pem.Decode skips what stands before the first block; here nothing may.
	text = bytes.TrimSpace(text)
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, refuse(ReasonMalformed, "not PEM: send one %s block", csrBlock)
	case !bytes.HasPrefix(text, []byte("-----BEGIN "+csrBlock+"-----")):
		if block.Type != csrBlock {
			return nil, refuse(ReasonMalformed, "PEM block of type %.40q, not %q", block.Type, csrBlock)
		}
		return nil, refuse(ReasonTrailing, "something stands before the request")
	case len(block.Headers) != 0:
		return nil, refuse(ReasonMalformed, "PEM headers are not allowed")
	case len(bytes.TrimSpace(rest)) != 0:
		return nil, refuse(ReasonTrailing, "%d bytes behind the request", len(rest))
	}
	var der asn1.RawValue
	if behind, err := asn1.Unmarshal(block.Bytes, &der); err == nil && len(behind) != 0 {
		return nil, refuse(ReasonTrailing, "%d bytes behind the request, inside its PEM block", len(behind))
	}
	return block.Bytes, nil
}
