package sds

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// The names that Envoys ask for, as in Istio.
const (
	// SecretCertificate is the chain and key.
	SecretCertificate = "default"
	// SecretRoots is the bundle.
	SecretRoots = "ROOTCA"
)

const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

// secret is one resource. Its version is the leaf's fingerprint or the bundle's hash,
// with that of the CRLs behind it if there are any: what Envoy shows of it in its
// config dump is then a fact about the content, and equal content is never sent twice.
type secret struct {
	name    string
	version string
	body    *anypb.Any
	svid    *SVID    // whose certificate it is; nil of ROOTCA
	roots   *rootSet // what ROOTCA holds; nil of a certificate
	crls    *crlSet  // what ROOTCA holds beside them
}

func certificateOf(svid *SVID) (secret, error) {
	der, err := x509.MarshalPKCS8PrivateKey(svid.key)
	if err != nil {
		return secret{}, fmt.Errorf("encoding key: %w", err)
	}
	made := secret{name: SecretCertificate, version: svid.Fingerprint(), svid: svid}
	return made.with(&tlsv3.Secret{Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(encode(svid.Chain)),
		PrivateKey:       inline(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}}})
}

// rootsOf makes ROOTCA. The CRLs are part of it: a secret of their own would be one
// more that each listener and cluster waits for.
func rootsOf(roots *rootSet, crls *crlSet) (secret, error) {
	made := secret{name: SecretRoots, version: roots.hash, roots: roots, crls: crls}
	context := &tlsv3.CertificateValidationContext{TrustedCa: inline(encode(roots.roots))}
	if len(crls.lists) > 0 {
		// Leaves only: else Envoy asks for a CRL of the root too.
		context.Crl, context.OnlyVerifyLeafCertCrl = inline(crls.pem()), true
		made.version += "+crl:" + crls.version
	}
	return made.with(&tlsv3.Secret{Type: &tlsv3.Secret_ValidationContext{ValidationContext: context}})
}

func (s secret) with(message *tlsv3.Secret) (secret, error) {
	message.Name = s.name
	body, err := anypb.New(message)
	if err != nil {
		return secret{}, fmt.Errorf("encoding secret %s: %w", s.name, err)
	}
	s.body = body
	return s, nil
}

func inline(content []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: content}}
}

func encode(certs []*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, cert := range certs {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	}
	return text.Bytes()
}
