package contract

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	istioca "istio.io/api/security/v1alpha1"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/daemon"
	"github.com/ensign-mesh/ensign/internal/need"
)

const webID = "spiffe://cluster.local/ns/shop/sa/web"

// cutOff does an act, and answers the revision after it.
func (e *ensignd) cutOff(verb, kind, value string) uint64 {
	e.t.Helper()
	answer, err := e.admin.CutOff(e.t.Context(), &ensignv1.CutOffRequest{Verb: verb, Kind: kind, Value: value, Reason: "test"})
	if err != nil {
		e.t.Fatal(err)
	}
	return answer.Revision
}

// ask asks for an SVID by a token, an SVID, or both.
func (e *ensignd) ask(token string, certs ...tls.Certificate) error {
	e.t.Helper()
	_, csr := request(e.t, &x509.CertificateRequest{})
	ctx := e.t.Context()
	if token != "" {
		ctx = with(ctx, token)
	}
	_, err := istioca.NewIstioCertificateServiceClient(e.dial(certs...)).CreateCertificate(ctx, &istioca.IstioCertificateRequest{Csr: csr, ValidityDuration: 3600})
	return err
}

// open opens a stream of a proxy by its SVID, which lives when this returns.
func (e *ensignd) open(cert tls.Certificate, pod string) discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	e.t.Cleanup(cancel)
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(e.dial(cert)).DeltaAggregatedResources(ctx)
	if err != nil {
		e.t.Fatal(err)
	}
	stream.Send(&discovery.DeltaDiscoveryRequest{
		TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster", Node: &corev3.Node{Id: "sidecar~10.0.0.5~" + pod + ".shop~cluster.local"},
	})
	answer, err := stream.Recv()
	if err != nil {
		e.t.Fatal(err)
	}
	stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: answer.TypeUrl, ResponseNonce: answer.Nonce})
	return stream
}

// refused says whether an error is a PermissionDenied that says why.
func refused(err error, why string) bool {
	return status.Code(err) == codes.PermissionDenied && strings.Contains(err.Error(), why)
}

func TestARevokedSVIDProvesNothing(t *testing.T) {
	e := start(t)
	web, _ := e.svid("web", "web-1")
	other, _ := e.svid("web", "")
	stream, neighbour := e.open(web, "web-1"), e.open(other, "web-2")
	begun := time.Now()
	e.cutOff("revoke", "serial", web.Leaf.SerialNumber.Text(16))
	for {
		if _, err := stream.Recv(); err != nil {
			if !refused(err, "revoked") {
				t.Errorf("its stream ended with %v", err)
			}
			break
		}
	}
	t.Logf("the stream ended %v after the act was asked for", time.Since(begun))
	if err := e.ask("", web); !refused(err, "revoked") {
		t.Errorf("renewed: %v", err)
	}
	if err := e.ask(e.token("web", "web-1"), web); !refused(err, "revoked") {
		t.Errorf("with a good token beside it: %v", err)
	}
	if err := e.ask(e.token("web", "web-1")); err != nil {
		t.Errorf("the owner does not come back: %v", err)
	}
	if err := e.ask("", other); err != nil {
		t.Errorf("another SVID of the identity: %v", err)
	}
	neighbour.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: "type.googleapis.com/envoy.config.listener.v3.Listener"})
	if _, err := neighbour.Recv(); err != nil {
		t.Errorf("the neighbour's stream: %v", err)
	}
}

func TestWhatWasRenewedFromARevokedSVIDIsRevoked(t *testing.T) {
	e := start(t)
	web, _ := e.svid("web", "web-1")
	key, csr := request(t, &x509.CertificateRequest{})
	answer, err := istioca.NewIstioCertificateServiceClient(e.dial(web)).CreateCertificate(t.Context(), &istioca.IstioCertificateRequest{Csr: csr, ValidityDuration: 3600})
	if err != nil {
		t.Fatal(err)
	}
	stolen := certificate(t, key, answer.CertChain)
	e.cutOff("revoke", "serial", web.Leaf.SerialNumber.Text(16))
	if err := e.ask("", stolen); !refused(err, "renewed from") {
		t.Errorf("%v", err)
	}
}

func TestTokensOfBeforeARevocationProveNothing(t *testing.T) {
	e := start(t)
	before, till := e.token("web", "web-1"), e.token("till", "till-1")
	e.cutOff("revoke", "id", webID)
	if err := e.ask(before); !refused(err, "made after") {
		t.Errorf("an older token: %v", err)
	}
	if err := e.ask(till); err != nil {
		t.Errorf("a token of somebody else: %v", err)
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1100 * time.Millisecond)))
	if err := e.ask(e.token("web", "web-1")); err != nil {
		t.Errorf("a newer token: %v", err)
	}
}

func TestAnIdentityInQuarantineKeepsItsStreamsAndGetsNoCertificate(t *testing.T) {
	e := start(t)
	web, _ := e.svid("web", "web-1")
	stream := e.open(web, "web-1")
	e.cutOff("quarantine", "id", webID)
	if err := e.ask("", web); !refused(err, "quarantine") {
		t.Errorf("renewed: %v", err)
	}
	if err := e.ask(e.token("web", "web-1")); !refused(err, "quarantine") {
		t.Errorf("by a new token: %v", err)
	}
	stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: "type.googleapis.com/envoy.config.listener.v3.Listener"})
	if _, err := stream.Recv(); err != nil {
		t.Errorf("its proxy can not be told: %v", err)
	}
	e.open(web, "web-1")
	e.cutOff("release", "id", webID)
	if err := e.ask("", web); err != nil {
		t.Errorf("after its release: %v", err)
	}
}

func TestARevokedIssuerIsReplacedAtOnce(t *testing.T) {
	e := start(t)
	web, chain := e.svid("web", "web-1")
	issuer, err := x509.ParseCertificate(web.Certificate[1])
	if err != nil || len(chain) != 3 {
		t.Fatal(err)
	}
	e.cutOff("revoke", "issuer", issuer.SerialNumber.Text(16))
	if err := e.ask("", web); !refused(err, "revoked") {
		t.Errorf("its SVID proves: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := e.ask(e.token("web", "web-1"))
		if err == nil {
			break
		}
		if status.Code(err) != codes.Unavailable || time.Now().After(deadline) {
			t.Fatalf("no other issuer: %v", err)
		}
	}
	fresh, _ := e.svid("web", "web-1")
	if fresh.Leaf.Issuer.String() == web.Leaf.Issuer.String() {
		t.Error("two issuers of one name")
	}
}

func TestLimitsOfIssuanceAreFlags(t *testing.T) {
	e := start(t, "--issue-burst", "3", "--issue-rate", "0.001", "--issue-per-day", "100")
	token := e.token("web", "web-1")
	for n := range 3 {
		if err := e.ask(token); err != nil {
			t.Fatalf("SVID %d: %v", n, err)
		}
	}
	if err := e.ask(token); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v, want ResourceExhausted", err)
	}
	if err := e.ask(e.token("till", "till-1")); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	for _, bad := range [][]string{{"--issue-rate", "0"}, {"--issue-rate", "NaN"}, {"--issue-burst", "-1"}, {"--issue-per-day", "0"}, {"--ledger-listen", "nowhere"}} {
		args := append([]string{"--manifests", "testdata/mesh", "--data", filepath.Join(t.TempDir(), "data")}, bad...)
		if code := daemon.Main(t.Context(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("%v: exit %d, want 2", bad, code)
		}
	}
}

func TestTheLedgerIsServedToWhoFollowsIt(t *testing.T) {
	address := need.Address(t)
	e := start(t, "--ledger-listen", address)
	e.svid("web", "web-1")
	for path, want := range map[string]string{"/checkpoint": "ensign/cluster.local/ledger\n", "/tile/entries/000.p/1": "", "/metrics": "404"} {
		answer, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if got := fmt.Sprint(answer.StatusCode) + string(text); !strings.Contains(got, want) || (answer.StatusCode != http.StatusOK) != (want == "404") {
			t.Errorf("%s: %.100q", path, got)
		}
	}
	start(t, "--ledger-listen", "")
}
