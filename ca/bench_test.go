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

func benchmarkCSR(b testing.TB) []byte {
	b.Helper()
	der := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, newTestKey(b)))
	return pem.EncodeToMemory(&pem.Block{Type: csrBlock, Bytes: der})
}

func benchmarkService(b testing.TB, observe func(Stage, time.Duration)) (*Service, identity.Caller, []byte) {
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

// BenchmarkIssue prints what every check costs: with all of them on, and the
// two calls of x509 alone that nobody could do without.
func BenchmarkIssue(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		p, csr := newPrepared(b), benchmarkCSR(b)
		for b.Loop() {
			req := must(x509ParseChecked(csr))
			must(x509Create(rand.Reader, p, req.PublicKey))
		}
	})
	b.Run("checked", func(b *testing.B) {
		spent := map[Stage]time.Duration{}
		service, caller, text := benchmarkService(b, func(s Stage, took time.Duration) { spent[s] += took })
		for b.Loop() {
			start := time.Now()
			csr, err := ParseCSR(text)
			spent["parse"] += time.Since(start)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := service.Issue(b.Context(), Request{Caller: caller, CSR: csr}); err != nil {
				b.Fatal(err)
			}
		}
		for stage, total := range spent {
			b.ReportMetric(float64(total.Microseconds())/float64(b.N), string(stage)+"-µs/op")
		}
	})
}
