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

// secret is one resource of one SVID. Its version is the leaf's fingerprint or
// the bundle's hash, with that of the CRLs behind it if there are any: what Envoy
// shows of it in its config dump is then a fact about the content, and equal
// content is never sent twice.
type secret struct {
	name    string
	version string
	body    *anypb.Any
	svid    *SVID
	crls    *crlSet // what ROOTCA holds of it
}

// secretsOf makes the resources of an SVID by name. The CRLs are part of ROOTCA: a
// secret of their own would be one more that each listener and cluster waits for.
func secretsOf(svid *SVID, crls *crlSet) (map[string]secret, error) {
	der, err := x509.MarshalPKCS8PrivateKey(svid.key)
	if err != nil {
		return nil, fmt.Errorf("encoding key: %w", err)
	}
	certificate := &tlsv3.Secret{Name: SecretCertificate, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline(encode(svid.Chain)),
		PrivateKey:       inline(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}}}
	roots := &tlsv3.Secret{Name: SecretRoots, Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
		TrustedCa: inline(encode(svid.Roots)),
	}}}
	rootsVersion := svid.Bundle()
	if len(crls.lists) > 0 {
		context := roots.GetValidationContext()
		// Leaves only: else Envoy asks for a CRL of the root too.
		context.Crl, context.OnlyVerifyLeafCertCrl = inline(crls.pem()), true
		rootsVersion += "+crl:" + crls.version
	}
	made := make(map[string]secret, 2)
	for message, version := range map[*tlsv3.Secret]string{certificate: svid.Fingerprint(), roots: rootsVersion} {
		body, err := anypb.New(message)
		if err != nil {
			return nil, fmt.Errorf("encoding secret %s: %w", message.GetName(), err)
		}
		made[message.GetName()] = secret{name: message.GetName(), version: version, body: body, svid: svid, crls: crls}
	}
	return made, nil
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
