package xds

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/xds/build"
)

// realEnvoy runs Envoy against a world, over a TCP port that may restart.
type realEnvoy struct {
	*world
	address string // of the discovery server
	serving *grpc.Server
	port    uint32 // of the listener
	admin   string
	dir     string
}

const bootstrap = `
node: {id: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local", cluster: web}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: xds}, initial_metadata: [{key: ns, value: shop}, {key: sa, value: web}]}]
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]}
`

func startEnvoy(t *testing.T, w *world) *realEnvoy {
	binary := need.Envoy(t)
	e := &realEnvoy{world: w, dir: t.TempDir()}
	e.serve()
	t.Cleanup(func() { e.serving.Stop() })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.port = uint32(free.Addr().(*net.TCPAddr).Port)
	_ = free.Close()
	_, port, _ := net.SplitHostPort(e.address)
	config := filepath.Join(e.dir, "envoy.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, bootstrap, port), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(e.dir, "envoy.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", config, "--use-dynamic-base-id", "--concurrency", "1", "--admin-address-path", filepath.Join(e.dir, "admin"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			out, _ := os.ReadFile(log.Name())
			t.Logf("Envoy said:\n%s", out[max(0, len(out)-4000):])
		}
	})
	return e
}

// serve puts the world on a TCP port, the same one at each call.
func (e *realEnvoy) serve() {
	if e.address == "" {
		e.address = "127.0.0.1:0"
	}
	listen, err := net.Listen("tcp", e.address)
	if err != nil {
		e.t.Fatal(err)
	}
	e.address = listen.Addr().String()
	e.serving = grpc.NewServer(grpc.ForceServerCodecV2(Codec()), grpc.StreamInterceptor(proven))
	e.server.Register(e.serving)
	go func() { _ = e.serving.Serve(listen) }()
}

// soon is time enough for a busy machine, and less than the 15 s that Envoy waits for
// what it is not sent.
const soon = 12 * time.Second

// eventually waits until what holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// answers is the answer of a host through Envoy; "" for none.
func (e *realEnvoy) answers(host string) string {
	req, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", e.port), nil)
	req.Host = host
	return body(http.DefaultClient.Do(req))
}

func body(r *http.Response, err error) string {
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	data, _ := io.ReadAll(r.Body)
	return fmt.Sprintf("%d %s", r.StatusCode, data)
}

// synced says whether Envoy has acknowledged everything.
func (e *realEnvoy) synced(types int) bool {
	all := e.server.Proxies()
	if len(all) != 1 || len(all[0].Types) < types {
		return false
	}
	for _, s := range all[0].Types {
		if s.State != Synced {
			return false
		}
	}
	return true
}

// stat is one of Envoy's own counters.
func (e *realEnvoy) stat(name string) string {
	address, err := os.ReadFile(filepath.Join(e.dir, "admin"))
	if err != nil {
		return ""
	}
	_, value, _ := strings.Cut(body(http.Get("http://"+string(address)+"/stats?filter=^"+name+"$")), ": ")
	return strings.TrimSpace(value)
}

// The resources of a small real configuration.

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

func packed(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

func realCluster(name string, timeout time.Duration) build.Resource {
	return build.Resource{TypeURL: build.TypeCluster, Name: name, Message: &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(timeout),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
	}}
}

func realEndpoints(name, address string) build.Resource {
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "http://"))
	var number uint32
	_, _ = fmt.Sscan(port, &number)
	return build.Resource{TypeURL: build.TypeEndpoint, Name: name, Message: &endpointv3.ClusterLoadAssignment{
		ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socket(host, number)}},
		}}}},
	}}
}

func socket(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

func realListener(name, routes string, port uint32) build.Resource {
	manager := &hcmv3.HttpConnectionManager{
		StatPrefix:     name,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routes, ConfigSource: ads()}},
		HttpFilters:    []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&routerv3.Router{})}}},
	}
	return build.Resource{TypeURL: build.TypeListener, Name: name, Message: &listenerv3.Listener{
		Name: name, Address: socket("127.0.0.1", port),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(manager)},
		}}}},
	}}
}

func realRoutes(name string) build.Resource {
	return build.Resource{TypeURL: build.TypeRoute, Name: name, Message: &routev3.RouteConfiguration{
		Name: name, ValidateClusters: wrapperspb.Bool(false), Vhds: &routev3.Vhds{ConfigSource: ads()},
	}}
}

func realVirtualHost(route, host, cluster string) build.Resource {
	name := route + "/" + host
	return build.Resource{TypeURL: build.TypeVirtualHost, Name: name, Message: &routev3.VirtualHost{
		Name: name, Domains: []string{host},
		Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
		}},
	}}
}

func backend(t *testing.T, says string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, says) }))
	t.Cleanup(s.Close)
	return s.URL
}

func TestRealEnvoy(t *testing.T) {
	w := newWorld(t)
	e := startEnvoy(t, w)
	one, two := backend(t, "one"), backend(t, "two")
	const name = "outbound|80||a"
	w.base(realListener("web", "80", e.port), realRoutes("80"))

	// Routes without virtual hosts: the listener must come up all the same.
	eventually(t, soon, "the listener serves", func() bool { return strings.HasPrefix(e.answers("a"), "404") })

	w.host("a", map[part][]build.Resource{
		clusters: {realCluster(name, time.Second)}, endpoints: {realEndpoints(name, one)}, virtualHosts: {realVirtualHost("80", "a", name)},
	})
	eventually(t, soon, "a new service answers", func() bool { return e.answers("a") == "200 one" })

	w.endpointsOf("a", realEndpoints(name, two))
	eventually(t, soon, "a moved endpoint answers", func() bool { return e.answers("a") == "200 two" })

	// A changed cluster: Envoy keeps it warming for 15 s unless its endpoints come again.
	w.host("a", map[part][]build.Resource{clusters: {realCluster(name, 2*time.Second)}})
	eventually(t, soon, "the changed cluster is warm and acknowledged", func() bool {
		return e.synced(5) && e.stat("cluster_manager.warming_clusters") == "0" && e.stat("cluster_manager.cluster_modified") == "1"
	})

	// The control plane restarts: nothing is sent again.
	responses := e.total()
	e.serving.Stop()
	eventually(t, soon, "the stream is gone", func() bool { return len(w.server.open()) == 0 })
	e.serve()
	eventually(t, 2*soon, "Envoy is back", func() bool { return e.synced(5) })
	time.Sleep(300 * time.Millisecond)
	if now := e.total(); now != responses {
		t.Errorf("%d responses after a reconnect with nothing changed", now-responses)
	}

	// A cluster that Envoy refuses is kept from it, by name.
	w.host("a", map[part][]build.Resource{clusters: {realCluster(name, -time.Second)}})
	eventually(t, soon, "the refusal is known", func() bool {
		s := w.statusOf("shop/web-1", cluster)
		return len(s.Rejections) == 1 && s.Rejections[0].Resource == name
	})
	if got := e.answers("a"); got != "200 two" {
		t.Errorf("after the refusal: %q", got)
	}

	w.host("a", map[part][]build.Resource{clusters: {realCluster(name, 3*time.Second)}})
	eventually(t, soon, "the mended cluster is taken", func() bool { return e.synced(5) })
	w.drop("a")
	eventually(t, soon, "the removed host is gone", func() bool {
		return strings.HasPrefix(e.answers("a"), "404") && e.stat("cluster_manager.cluster_removed") == "1" && e.synced(5)
	})
}

// total is how many responses were sent.
func (e *realEnvoy) total() int {
	n := 0
	for k := range types {
		n += e.counter(e.server.metrics.responses, kind(k).label())
	}
	return n
}
