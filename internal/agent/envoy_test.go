package agent

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	echov3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/echo/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

func packed(t testing.TB, message proto.Message) *anypb.Any {
	t.Helper()
	body, err := anypb.New(message)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// sdsConfig is how the control plane's resources name a secret of the agent.
func sdsConfig(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
		ResourceApiVersion: corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{
			ApiType: corev3.ApiConfigSource_GRPC, TransportApiVersion: corev3.ApiVersion_V3, SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: clusterSDS},
			}}},
		}},
	}}
}

// helloListener echoes over mutual TLS with the agent's secrets.
func helloListener(t testing.TB, address string) *anypb.Any {
	t.Helper()
	port := netPort(t, address)
	downstream := &tlsv3.DownstreamTlsContext{
		RequireClientCertificate: wrapperspb.Bool(true),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sdsConfig("default")},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: &tlsv3.CertificateValidationContext{}, ValidationContextSdsSecretConfig: sdsConfig("ROOTCA"),
			}},
		},
	}
	return packed(t, &listenerv3.Listener{
		Name: "hello",
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
		}}},
		FilterChains: []*listenerv3.FilterChain{{
			Filters: []*listenerv3.Filter{{
				Name: "echo", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, &echov3.Echo{})},
			}},
			TransportSocket: &corev3.TransportSocket{
				Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(t, downstream)},
			},
		}},
	})
}

const (
	typeListener = "type.googleapis.com/envoy.config.listener.v3.Listener"
	typeCluster  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
)

// serveListener answers delta ADS with one listener, and with no clusters.
func serveListener(listener *anypb.Any, nodes chan<- string) func(discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return func(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
		for {
			request, err := stream.Recv()
			if err != nil {
				return err
			}
			if id := request.GetNode().GetId(); id != "" && nodes != nil {
				nodes <- id
			}
			if request.GetResponseNonce() != "" {
				continue
			}
			response := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: request.GetTypeUrl(), Nonce: "1"}
			if request.GetTypeUrl() == typeListener && request.GetInitialResourceVersions()["hello"] != "1" {
				response.Resources = []*discoveryv3.Resource{{Name: "hello", Version: "1", Resource: listener}}
			}
			if err := stream.Send(response); err != nil {
				return err
			}
		}
	}
}

// callWithin is how long a call may take, on a busy machine too.
const callWithin = 10 * time.Second

// hello calls the listener as a workload and returns the leaf that it showed.
func hello(authority *sdstest.Authority, client tls.Certificate, address string) (*x509.Certificate, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: callWithin}, "tcp", address, &tls.Config{
		Certificates: []tls.Certificate{client}, InsecureSkipVerify: true, // a SPIFFE ID is no host name
		VerifyConnection: func(state tls.ConnectionState) error {
			options := x509.VerifyOptions{Roots: authority.Pool(), Intermediates: x509.NewCertPool()}
			for _, issuer := range state.PeerCertificates[1:] {
				options.Intermediates.AddCert(issuer)
			}
			_, err := state.PeerCertificates[0].Verify(options)
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(callWithin))
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, make([]byte, len("hello"))); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

// withEnvoy is a control plane and an agent's configuration for a real Envoy that
// serves the hello listener at the address.
func withEnvoy(t testing.TB) (*controlPlane, Config, string) {
	t.Helper()
	binary := need.Envoy(t)
	control, address := newControlPlane(t), need.Address(t)
	nodes := make(chan string, 100)
	control.ads = serveListener(helloListener(t, address), nodes)
	config := control.config(t)
	config.Envoy, config.EnvoyArgs = binary, []string{"--concurrency", "1", "-l", "warning"}
	return control, config, address
}

// TestEnvoyEndToEnd is the whole agent beside a real Envoy: certificate, SDS, ADS,
// report, query, renewal, drain.
func TestEnvoyEndToEnd(t *testing.T) {
	control, config, address := withEnvoy(t)
	var logs logBuffer
	config.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(&logs, t.Output()), nil))
	agent := startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })

	client := control.authority.TLS(t, sdstest.Leaf("spiffe://cluster.local/ns/shop/sa/caller", time.Hour))
	leaf, err := hello(control.authority, client, address)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != testID {
		t.Errorf("Envoy shows %v, want %s", leaf.URIs, testID)
	}
	report := next(t, "report of what Envoy shows", control.reports, func(r *ensignv1.Report) bool { return len(r.ServedFingerprints) > 0 })
	acknowledged := report.GetAcknowledged()
	if acknowledged.GetSerial() != leaf.SerialNumber.Text(16) || acknowledged.GetBundle() == "" ||
		!slices.Equal(report.ServedFingerprints, []string{acknowledged.GetFingerprint()}) {
		t.Errorf("report %v does not fit the leaf %x", report, leaf.SerialNumber)
	}
	if report.EnvoyVersion != need.EnvoyVersion || report.NodeId != "sidecar~127.0.0.1~reviews-v1.shop~shop.svc.cluster.local" {
		t.Errorf("report %v: version or node is wrong", report)
	}
	page := ask(t, control, ensignv1.EnvoyPage_ENVOY_PAGE_CONFIG_DUMP)
	if !strings.Contains(page, `"hello"`) || !strings.Contains(page, acknowledged.GetFingerprint()) {
		t.Errorf("the config dump lacks the listener or the secret's version: %.200s", page)
	}
	noKey(t, "the config dump", page)
	noKey(t, "the log", logs.String())
	noKeyInFolder(t, filepath.Dir(config.RunDir))

	agent.wait(t)
	if agent.code != 0 || agent.err != nil {
		t.Errorf("the agent ended with %d, %v; want Envoy's 0", agent.code, agent.err)
	}
	if strings.Contains(logs.String(), testToken) {
		t.Error("the token was logged")
	}
}

// ask fetches a page through the report stream.
func ask(t testing.TB, control *controlPlane, page ensignv1.EnvoyPage) string {
	t.Helper()
	control.queries <- &ensignv1.EnvoyQuery{Id: 7, Page: page}
	var text strings.Builder
	for {
		answer := next(t, "answer", control.answers, func(a *ensignv1.EnvoyAnswer) bool { return a.Id == 7 })
		if answer.Error != "" {
			t.Fatalf("the query was refused: %s", answer.Error)
		}
		text.Write(answer.Chunk)
		if answer.Last {
			return text.String()
		}
	}
}

func noKey(t testing.TB, where, text string) {
	t.Helper()
	for _, mark := range keyMarks {
		if strings.Contains(text, string(mark)) {
			t.Errorf("%s holds a private key", where)
		}
	}
}

func noKeyInFolder(t testing.TB, dir string) {
	t.Helper()
	seen := 0
	filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		seen++
		noKey(t, path, string(text))
		return nil
	})
	if seen < 4 {
		t.Errorf("only %d files looked at", seen)
	}
}

func netPort(t testing.TB, address string) uint32 {
	t.Helper()
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(addr.Port)
}
