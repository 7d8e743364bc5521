package cli_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/rogpeppe/go-internal/testscript"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

const clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"

// proxy connects as an Envoy of pod NS/NAME does, with the token in a file, asks
// for clusters and denials, and accepts them, or refuses the clusters with a reason:
//
//	proxy shop/web-1 token data/bundle.pem [REFUSE...]
//
// It stays connected until the script ends.
func proxy(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: proxy NS/POD TOKEN BUNDLE [REFUSE...]")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile(args[2])))
	conn, err := grpc.NewClient(ts.Getenv("LISTEN"), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "localhost"})))
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	ts.Defer(func() { cancel(); conn.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(
		metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+ts.ReadFile(args[1])))
	ts.Check(err)
	namespace, pod, _ := strings.Cut(args[0], "/")
	ts.Check(stream.Send(&discovery.DeltaDiscoveryRequest{
		TypeUrl: clusterType,
		Node: &corev3.Node{
			Id:            "sidecar~10.0.0.5~" + pod + "." + namespace + "~cluster.local",
			UserAgentName: "envoy",
			UserAgentVersionType: &corev3.Node_UserAgentBuildVersion{
				UserAgentBuildVersion: &corev3.BuildVersion{Version: &typev3.SemanticVersion{MajorNumber: 1, MinorNumber: 40}},
			},
		},
	}))
	ts.Check(stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: extensionType, ResourceNamesSubscribe: denials}))
	answered := make(chan struct{})
	go answer(stream, strings.Join(args[3:], " "), answered)
	select {
	case <-answered:
	case <-time.After(20 * time.Second):
		ts.Fatalf("no configuration within 20 s")
	}
	shown(ts, args[0], func(p *ensignv1.Proxy) bool {
		return p.Connected && len(p.Types) == 2 && !slices.ContainsFunc(p.Types, func(t *ensignv1.TypeStatus) bool { return t.State == "STALE" })
	})
}

// shown waits until ensignd, which reads what it is told a moment later, shows a proxy so.
func shown(ts *testscript.TestScript, name string, so func(*ensignv1.Proxy) bool) {
	conn, err := grpc.NewClient("unix:"+ts.MkAbs(filepath.Join("data", "admin.sock")), grpc.WithTransportCredentials(insecure.NewCredentials()))
	ts.Check(err)
	defer conn.Close()
	var proxies []*ensignv1.Proxy
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		answer, err := ensignv1.NewAdminServiceClient(conn).ListProxies(context.Background(), &ensignv1.ListProxiesRequest{})
		ts.Check(err)
		proxies = answer.Proxies
		if slices.ContainsFunc(proxies, func(p *ensignv1.Proxy) bool { return p.Name == name && so(p) }) {
			return
		}
	}
	ts.Fatalf("%s is not shown as it is within 20 s: %v", name, proxies)
}

func answer(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, refuse string, answered chan struct{}) {
	for first := true; ; first = false {
		response, err := stream.Recv()
		if err != nil {
			return
		}
		request := &discovery.DeltaDiscoveryRequest{TypeUrl: response.TypeUrl, ResponseNonce: response.Nonce}
		if refuse != "" && response.TypeUrl == clusterType {
			request.ErrorDetail = &rpcstatus.Status{Code: 13, Message: refuse}
		}
		if stream.Send(request) != nil {
			return
		}
		if first {
			close(answered)
		}
	}
}
