package contract

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	istioca "istio.io/api/security/v1alpha1"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func TestTheServerShowsItsNamesAndDemandsTLS12(t *testing.T) {
	e := start(t, "--server-name", "ensign.example.org", "--server-name", "10.1.2.3")
	conn, err := tls.Dial("tcp", e.listen, &tls.Config{RootCAs: e.roots, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	conn.Close()
	for _, name := range []string{"istiod.istio-system.svc", "localhost", "ensign.example.org", "10.1.2.3"} {
		if err := leaf.VerifyHostname(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	old := &tls.Config{RootCAs: e.roots, ServerName: "localhost", MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", e.listen, old); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was taken")
	}
}

func TestTheChainIsLeafIssuersRoots(t *testing.T) {
	e := start(t)
	cert, chain := e.svid("web", "web-1")
	if len(chain) != 3 || len(cert.Leaf.URIs) != 1 || cert.Leaf.URIs[0].String() != "spiffe://cluster.local/ns/shop/sa/web" {
		t.Fatalf("chain of %d, URIs %v", len(chain), cert.Leaf.URIs)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(chain[len(chain)-1])) {
		t.Fatal("the last element holds no roots")
	}
	issuers := x509.NewCertPool()
	issuers.AppendCertsFromPEM([]byte(chain[1]))
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, usage := range usages {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: issuers, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Error(err)
		}
	}
}

// TestWhoIsRefused is the table of bad proofs, over the CSR RPC.
func TestWhoIsRefused(t *testing.T) {
	e := start(t)
	web, _ := e.svid("web", "web-1")
	till, _ := e.svid("till", "till-1")
	stranger := selfSigned(t)
	own := e.token("web", "web-1")
	for _, c := range []struct {
		name   string
		token  string
		certs  []tls.Certificate
		uri    string
		want   codes.Code
		reason string
	}{
		{name: "token", token: own, want: codes.OK},
		{name: "token and its own name", token: own, uri: "spiffe://cluster.local/ns/shop/sa/web", want: codes.OK},
		{name: "SVID", certs: []tls.Certificate{web}, want: codes.OK},
		{name: "token and SVID that agree", token: own, certs: []tls.Certificate{web}, want: codes.OK},
		{name: "nothing", want: codes.Unauthenticated, reason: "no proof of identity"},
		{name: "token and SVID of another", token: own, certs: []tls.Certificate{till}, want: codes.PermissionDenied},
		{name: "a CSR that names another", token: own, uri: "spiffe://cluster.local/ns/shop/sa/till", want: codes.PermissionDenied, reason: "till"},
		{name: "garbage", token: "garbage", want: codes.Unauthenticated},
		{name: "a token cut short", token: own[:len(own)-4], want: codes.Unauthenticated},
		{name: "another CA's certificate", certs: []tls.Certificate{stranger}, want: codes.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			template := &x509.CertificateRequest{}
			if c.uri != "" {
				uri, err := url.Parse(c.uri)
				if err != nil {
					t.Fatal(err)
				}
				template.URIs = []*url.URL{uri}
			}
			_, csr := request(t, template)
			ctx := t.Context()
			if c.token != "" {
				ctx = with(ctx, c.token)
			}
			_, err := istioca.NewIstioCertificateServiceClient(e.dial(c.certs...)).CreateCertificate(ctx, &istioca.IstioCertificateRequest{Csr: csr})
			if status.Code(err) != c.want || (c.reason != "" && !strings.Contains(err.Error(), c.reason)) {
				t.Errorf("%v, want %v %q", err, c.want, c.reason)
			}
		})
	}
}

func TestTheAskedLifeIsClipped(t *testing.T) {
	e := start(t, "--svid-ttl", "1h")
	for asked, longest := range map[int64]time.Duration{60: time.Minute, 30 * 86400: time.Hour, 0: time.Hour} {
		_, csr := request(t, &x509.CertificateRequest{})
		answer, err := istioca.NewIstioCertificateServiceClient(e.dial()).CreateCertificate(
			with(t.Context(), e.token("web", "web-1")), &istioca.IstioCertificateRequest{Csr: csr, ValidityDuration: asked})
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(answer.CertChain[0]))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(leaf.NotAfter); left > longest || left < longest-10*time.Second {
			t.Errorf("asked for %d s, got %v, want %v", asked, left, longest)
		}
	}
}

func TestNothingLeavesUnrecorded(t *testing.T) {
	e := start(t)
	cert, _ := e.svid("web", "web-1")
	stream, err := e.admin.ReadLedger(t.Context(), &ensignv1.ReadLedgerRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for {
		part, err := stream.Recv()
		if err != nil {
			break
		}
		entries = append(entries, string(part.GetEntry().GetData()))
	}
	serial := cert.Leaf.SerialNumber.Text(16)
	if !slices.ContainsFunc(entries, func(e string) bool { return strings.Contains(e, serial) && strings.Contains(e, `"pod":"web-1"`) }) {
		t.Errorf("serial %s is not in the ledger: %s", serial, entries)
	}
	// The token of the same act is on record by its ID only.
	if slices.ContainsFunc(entries, func(e string) bool { return strings.Contains(e, "eyJ") }) {
		t.Error("a token is in the ledger")
	}
}

// selfSigned is a certificate that looks like an SVID and leads nowhere.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	uri, _ := url.Parse("spiffe://cluster.local/ns/shop/sa/web")
	key, _ := request(t, &x509.CertificateRequest{})
	template := &x509.Certificate{SerialNumber: big.NewInt(1), URIs: []*url.URL{uri}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
