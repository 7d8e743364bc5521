package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/identity"
)

// noLedger takes everything at no cost.
type noLedger struct{}

func (noLedger) Append(context.Context, Entry) (uint64, error) { return 0, nil }

func benchmarkCSR(b *testing.B) []byte {
	b.Helper()
	der := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, newTestKey(b)))
	return pem.EncodeToMemory(&pem.Block{Type: csrBlock, Bytes: der})
}

func benchmarkService(b *testing.B, observe func(Stage, time.Duration)) (*Service, identity.Caller, []byte) {
	b.Helper()
	td := spiffeid.RequireTrustDomainFromString("cluster.local")
	service, err := New(b.Context(), Config{
		TrustDomain: td, Profile: must(NewProfile(ProfileConfig{})), Upstream: newSelfUpstream(b), Ledger: noLedger{}, Observe: observe,
	})
	if err != nil {
		b.Fatal(err)
	}
	caller := identity.Caller{
		Account: identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: "reviews"}, Expires: time.Now().Add(time.Hour),
	}
	return service, caller, benchmarkCSR(b)
}

func x509ParseChecked(text []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(text)
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	return req, req.CheckSignature()
}

func x509Create(random io.Reader, p *prepared, key crypto.PublicKey) ([]byte, error) {
	return x509.CreateCertificate(random, p.template, p.issuer.cert, key, p.issuer.key)
}
