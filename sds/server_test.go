package sds_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/internal/peercred"
	"github.com/ensign-mesh/ensign/sds"
)

const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

// served is an SDS server on a real socket.
type served struct {
	signer   *signer
	source   *sds.Source
	server   *sds.Server
	registry *prometheus.Registry
	path     string
	client   secretv3.SecretDiscoveryServiceClient
}

// serveSecrets starts a Source and its server; certificates live for ttl.
func serveSecrets(t *testing.T, ttl time.Duration) *served {
	t.Helper()
	s := &served{signer: &signer{}}
	s.source = newSource(t, s.signer, ttl)
	s.listen(t)
	return s
}

// listen serves what the source has.
func (s *served) listen(t *testing.T) {
	t.Helper()
	s.registry = prometheus.NewRegistry()
	s.server = sds.NewServer(s.source, sds.NewMetrics(s.registry), slog.New(slog.NewTextHandler(t.Output(), nil)))
	dir, err := os.MkdirTemp("", "sds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.path = filepath.Join(dir, "sds.sock")
	listener, err := peercred.Listen(s.path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(peercred.Credentials(uint32(os.Getuid()))))
	s.server.Register(server)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	s.client = secretv3.NewSecretDiscoveryServiceClient(dial(t, s.path))
}

// run starts the Source and waits for its first SVID.
func (s *served) run(t *testing.T) *sds.SVID {
	t.Helper()
	_, changed := s.source.Watch()
	go s.source.Run(t.Context())
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("no SVID")
	}
	return live(t, s.source)
}

func dial(t *testing.T, path string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///socket", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return net.Dial("unix", path) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (s *served) count(t *testing.T, event string) float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "ensign_agent_sds_total" && metric.GetLabel()[0].GetValue() == event {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// acknowledged waits until the state passes.
func (s *served) acknowledged(t *testing.T, passes func(sds.Acknowledged) bool) sds.Acknowledged {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		state, changed := s.server.Acknowledged()
		if passes(state) {
			return state
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("acknowledged stays %+v", state)
		}
	}
}

func (s *served) delta(t *testing.T, first *discoveryv3.DeltaDiscoveryRequest) secretv3.SecretDiscoveryService_DeltaSecretsClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	stream, err := s.client.DeltaSecrets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sendDelta(t, stream, first)
	return stream
}

func sendDelta(t *testing.T, stream secretv3.SecretDiscoveryService_DeltaSecretsClient, request *discoveryv3.DeltaDiscoveryRequest) {
	t.Helper()
	request.TypeUrl = secretType
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
}

func receiveDelta(t *testing.T, stream secretv3.SecretDiscoveryService_DeltaSecretsClient) *discoveryv3.DeltaDiscoveryResponse {
	t.Helper()
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func subscribe(names ...string) *discoveryv3.DeltaDiscoveryRequest {
	return &discoveryv3.DeltaDiscoveryRequest{ResourceNamesSubscribe: names}
}

// versions are the resources of an answer.
func versions(response *discoveryv3.DeltaDiscoveryResponse) map[string]string {
	found := map[string]string{}
	for _, resource := range response.GetResources() {
		found[resource.GetName()] = resource.GetVersion()
	}
	return found
}

func TestDeltaServesBothSecretsAndTakesTheirACK(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	svid := s.run(t)
	stream := s.delta(t, subscribe("default", "ROOTCA"))
	response := receiveDelta(t, stream)
	want := map[string]string{"default": svid.Fingerprint(), "ROOTCA": svid.Bundle()}
	if got := versions(response); !maps.Equal(got, want) {
		t.Errorf("versions %v, want %v", got, want)
	}
	if state, _ := s.server.Acknowledged(); state != (sds.Acknowledged{}) {
		t.Errorf("before the ACK: %+v", state)
	}
	sendDelta(t, stream, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: response.GetNonce()})
	state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Serial != "" && a.Bundle != "" })
	if state.Serial != svid.Serial() || state.Fingerprint != svid.Fingerprint() || state.Bundle != svid.Bundle() ||
		time.Since(state.At) > time.Minute || state.Error != "" {
		t.Errorf("%+v", state)
	}
	var secret tlsv3.Secret
	if err := response.GetResources()[0].GetResource().UnmarshalTo(&secret); err != nil {
		t.Fatal(err)
	}
	chain, err := sds.ParseCertificates(secret.GetTlsCertificate().GetCertificateChain().GetInlineBytes())
	if err != nil || len(chain) != 2 || !chain[0].Equal(svid.Leaf()) {
		t.Errorf("chain of %d, %v: want leaf and issuer, no root", len(chain), err)
	}
}

func TestASecretBeforeTheFirstSVIDComesWithIt(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	stream := s.delta(t, subscribe("default"))
	time.Sleep(50 * time.Millisecond)
	svid := s.run(t)
	if got := versions(receiveDelta(t, stream)); got["default"] != svid.Fingerprint() || len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// A renewal sends the new certificate, and not the roots, which are the same.
func TestARenewalSendsOnlyWhatChanged(t *testing.T) {
	s := serveSecrets(t, 4*time.Second)
	first := s.run(t)
	stream := s.delta(t, subscribe("default", "ROOTCA"))
	receiveDelta(t, stream)
	renewed := receiveDelta(t, stream)
	if got := versions(renewed); len(got) != 1 || got["default"] == "" || got["default"] == first.Fingerprint() {
		t.Errorf("a renewal sent %v", got)
	}
}

// An expired certificate helps nobody: a stream that opens after it gets the next one.
func TestAnExpiredSVIDIsNotServed(t *testing.T) {
	s := serveSecrets(t, 2*time.Second)
	first := s.run(t)
	s.signer.set(func([]byte) ([]string, error) { return nil, errors.New("away") })
	time.Sleep(time.Until(first.Expires()) + 50*time.Millisecond)
	stream := s.delta(t, subscribe("default"))
	time.AfterFunc(300*time.Millisecond, func() { s.signer.set(nil) })
	if got := versions(receiveDelta(t, stream)); got["default"] == "" || got["default"] == first.Fingerprint() {
		t.Errorf("served %v, the expired one is %s", got, first.Fingerprint())
	}
}

// What Envoy brings along from before a reconnect is not sent again, and is
// as good as an ACK.
func TestAReconnectCostsNothing(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	svid := s.run(t)
	request := subscribe("default", "ROOTCA")
	request.InitialResourceVersions = map[string]string{"default": svid.Fingerprint(), "ROOTCA": "of an earlier bundle"}
	stream := s.delta(t, request)
	if got := versions(receiveDelta(t, stream)); !maps.Equal(got, map[string]string{"ROOTCA": svid.Bundle()}) {
		t.Errorf("sent %v", got)
	}
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Serial == svid.Serial() && a.Bundle == "" })
}

func TestANACKIsKeptAndNotRepeated(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	s.run(t)
	stream := s.delta(t, subscribe("default"))
	response := receiveDelta(t, stream)
	refusal := &rpcstatus.Status{Code: 13, Message: "bad " + strings.Repeat("x", 5000)}
	sendDelta(t, stream, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: response.GetNonce(), ErrorDetail: refusal})
	state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Error != "" })
	if !strings.HasPrefix(state.Error, "default: bad") || len(state.Error) > 1100 || state.Serial != "" {
		t.Errorf("%.100s of %d bytes, serial %q", state.Error, len(state.Error), state.Serial)
	}
	// The next answer is to the next question: nothing was sent again in between.
	sendDelta(t, stream, subscribe("ROOTCA"))
	if got := versions(receiveDelta(t, stream)); len(got) != 1 || got["ROOTCA"] == "" {
		t.Errorf("after a NACK: %v", got)
	}
	// Asked for again and taken, the refusal is history.
	sendDelta(t, stream, subscribe("default"))
	sendDelta(t, stream, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: receiveDelta(t, stream).GetNonce()})
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Error == "" && a.Serial != "" })
}

func TestUnknownNamesAreNotServed(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	s.run(t)
	stream := s.delta(t, subscribe("default", "kubernetes://other", "*"))
	response := receiveDelta(t, stream)
	removed := slices.Sorted(slices.Values(response.GetRemovedResources()))
	if got := versions(response); len(got) != 1 || !slices.Equal(removed, []string{"*", "kubernetes://other"}) {
		t.Errorf("served %v, removed %v", got, removed)
	}
	if n := s.count(t, "unknown_name"); n != 2 {
		t.Errorf("%v unknown names counted, want 2", n)
	}
}

func TestRequestsHaveLimits(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	s.run(t)
	many := make([]string, 100)
	for i := range many {
		many[i] = strings.Repeat("n", i+1)
	}
	for name, request := range map[string]*discoveryv3.DeltaDiscoveryRequest{
		"many names": subscribe(many...), "a long name": subscribe(strings.Repeat("n", 1000)),
	} {
		if _, err := s.delta(t, request).Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want InvalidArgument", name, err)
		}
	}
	stream := s.delta(t, subscribe("default"))
	receiveDelta(t, stream)
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster"}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("another type: %v, want InvalidArgument", err)
	}
	// A client that asks without ever answering is let go.
	mute := s.delta(t, subscribe("default"))
	var err error
	for range 40 {
		if _, err = mute.Recv(); err != nil {
			break
		}
		_ = mute.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: secretType, ResourceNamesSubscribe: []string{"default"}})
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a mute client: %v, want InvalidArgument", err)
	}
	if n := s.count(t, "refused"); n != 4 {
		t.Errorf("%v refusals counted, want 4", n)
	}
}

// Envoy may hold one secret by two streams: it has taken it when both have.
func TestASecretIsTakenWhenAllStreamsTookIt(t *testing.T) {
	s := serveSecrets(t, 10*time.Second) // renewed after half of it, when both have the first
	first := s.run(t)
	quick, slow := s.delta(t, subscribe("default")), s.delta(t, subscribe("default"))
	for _, stream := range []secretv3.SecretDiscoveryService_DeltaSecretsClient{quick, slow} {
		sendDelta(t, stream, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: receiveDelta(t, stream).GetNonce()})
	}
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Serial == first.Serial() })
	sendDelta(t, quick, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: receiveDelta(t, quick).GetNonce()})
	renewal := receiveDelta(t, slow)
	time.Sleep(100 * time.Millisecond)
	if state, _ := s.server.Acknowledged(); state.Serial != first.Serial() {
		t.Error("one stream's ACK was taken for both")
	}
	sendDelta(t, slow, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: renewal.GetNonce()})
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Serial != first.Serial() })
}

func TestMetricsAreWellFormed(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	s.run(t)
	problems, err := testutil.GatherAndLint(s.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
