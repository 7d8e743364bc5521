package ca

import (
	"context"
	"crypto"
	"crypto/x509"
)

// Upstream holds the root, or speaks to who does.
type Upstream interface {
	// CertifyIssuer signs an issuer and returns its chain, the new certificate
	// first, the root not in it. Its life may be shorter than asked.
	CertifyIssuer(ctx context.Context, r IssuerRequest) (chain []*x509.Certificate, err error)
	// Bundle is the roots that workloads must trust now.
	Bundle(ctx context.Context) (Bundle, error)
	// Signing is the root that CertifyIssuer's chains lead to now. An issuer that leads
	// to another is to be replaced.
	Signing() *x509.Certificate
}

// IssuerRequest asks for an issuer's certificate.
type IssuerRequest struct {
	// Template is what the certificate must say. An upstream may choose another
	// serial and an earlier end, and nothing else.
	Template *x509.Certificate
	// PublicKey is the issuer's; the private key is never sent.
	PublicKey crypto.PublicKey
	// CSR is a PKCS#10 request (DER) for the key and the template's subject. It
	// shows upstreams that want it that the asker holds the key; it asks for nothing.
	CSR []byte
}
