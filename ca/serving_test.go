package ca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
)

func TestServerCertificate(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	key := catest.NewKey(t)
	names := []string{"istiod.istio-system.svc", "localhost", "10.0.0.1", "::1"}
	issued, err := mesh.Service.IssueServer(t.Context(), ca.ServerRequest{CSR: must(ca.NewCSR(key)), Names: names})
	if err != nil {
		t.Fatal(err)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(issued.Bundle.Roots()[0])
	intermediates.AddCert(issued.Issuers[0])
	for _, name := range names {
		if strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
		if _, err := issued.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: intermediates}); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	clients := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if _, err := issued.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: clients}); err == nil {
		t.Error("the server certificate works for a client")
	}
	if len(issued.Leaf.URIs) != 0 {
		t.Errorf("the server certificate has a SPIFFE ID: %v", issued.Leaf.URIs)
	}
	entries := mesh.Ledger.Entries(ca.KindServer)
	if len(entries) != 1 || entries[0].Names != strings.Join(names, ",") || entries[0].Serial != issued.Leaf.SerialNumber.Text(16) {
		t.Errorf("ledger holds %+v", entries)
	}
}

func TestServerCertificateRefuses(t *testing.T) {
	mesh := catest.NewMesh(t, nil)
	good := must(ca.NewCSR(catest.NewKey(t)))
	for name, r := range map[string]ca.ServerRequest{
		"no name":       {CSR: good},
		"empty name":    {CSR: good, Names: []string{""}},
		"wildcard":      {CSR: good, Names: []string{"*.svc"}},
		"uri":           {CSR: good, Names: []string{reviewsID}},
		"trailing dot":  {CSR: good, Names: []string{"localhost."}},
		"long label":    {CSR: good, Names: []string{strings.Repeat("a", 64)}},
		"long name":     {CSR: good, Names: []string{strings.Repeat("a.", 127) + "a"}},
		"no key":        {Names: []string{"localhost"}},
		"negative life": {CSR: good, Names: []string{"localhost"}, Lifetime: -1},
	} {
		if issued, err := mesh.Service.IssueServer(t.Context(), r); err == nil || issued.Leaf != nil {
			t.Errorf("%s: issued %v", name, issued.Leaf.DNSNames)
		}
	}
	var refused *ca.CSRError
	if _, err := ca.NewCSR(must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))); !errors.As(err, &refused) || refused.Reason != ca.ReasonKeyAlgorithm {
		t.Errorf("a key of p224: %v", err)
	}
	mesh.Ledger.Fail(errors.New("disk full"))
	if _, err := mesh.Service.IssueServer(t.Context(), ca.ServerRequest{CSR: good, Names: []string{"localhost"}}); !errors.Is(err, ca.ErrLedger) {
		t.Errorf("without the ledger: %v", err)
	}
}
