package build_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// A real Envoy must take all that is made of the inputs.
func TestEnvoyTakesOutbound(t *testing.T) {
	envoy := need.Envoy(t)
	inputs, err := filepath.Glob("testdata/outbound/in/*.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, path := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			input, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := loadInput(t, string(input))
			for _, sc := range scopesOf(t, string(input)) {
				if out, err := validate(t, envoy, s, sc); err != nil {
					t.Errorf("scope %+v: %v\n%s", sc, err, out)
				}
			}
		})
	}
}

// The test above must be able to fail.
func TestEnvoyRefusesADomainTwice(t *testing.T) {
	envoy := need.Envoy(t)
	s := load(t, `{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}}`)
	b := static(t, s, build.Scope{Namespace: "shop", VHDS: true}, func(rc *routev3.RouteConfiguration) {
		rc.VirtualHosts = append(rc.VirtualHosts, rc.VirtualHosts[0])
	})
	if out, err := run(t, envoy, b); err == nil || !strings.Contains(out, "domain") {
		t.Errorf("Envoy took a domain twice: %s", out)
	}
}

func validate(t *testing.T, envoy string, s *mesh.Snapshot, sc build.Scope) (string, error) {
	t.Helper()
	return run(t, envoy, static(t, s, sc, func(*routev3.RouteConfiguration) {}))
}

func run(t *testing.T, envoy string, b *bootstrapv3.Bootstrap) (string, error) {
	t.Helper()
	text, err := protojson.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, envoy, "--mode", "validate", "-c", path, "-l", "warn").CombinedOutput()
	// It repeats the whole message before it says what is wrong.
	return string(out[max(0, len(out)-1500):]), err
}

// static is a bootstrap that holds what the scope gets by xDS. Routes stand in
// the listeners and virtual hosts in the routes, since Envoy does not fetch them
// to validate; the endpoints are those of clusters beside the real ones.
func static(t *testing.T, s *mesh.Snapshot, sc build.Scope, edit func(*routev3.RouteConfiguration)) *bootstrapv3.Bootstrap {
	t.Helper()
	b := new(bootstrapv3.Bootstrap)
	if err := protojson.Unmarshal([]byte(bootstrap), b); err != nil {
		t.Fatal(err)
	}
	routes := map[string]*routev3.RouteConfiguration{}
	var listeners []*listenerv3.Listener
	for _, r := range outbound(s, sc) {
		switch m := r.Message.(type) {
		case *clusterv3.Cluster:
			b.StaticResources.Clusters = append(b.StaticResources.Clusters, m)
		case *endpointv3.ClusterLoadAssignment:
			m = proto.Clone(m).(*endpointv3.ClusterLoadAssignment)
			m.ClusterName = "endpoints of " + m.ClusterName
			b.StaticResources.Clusters = append(b.StaticResources.Clusters, &clusterv3.Cluster{
				Name: m.ClusterName, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, LoadAssignment: m,
			})
		case *listenerv3.Listener:
			listeners = append(listeners, proto.Clone(m).(*listenerv3.Listener))
		case *routev3.RouteConfiguration:
			routes[r.Name] = proto.Clone(m).(*routev3.RouteConfiguration)
		case *routev3.VirtualHost:
			rc := routes[r.Name[:strings.IndexByte(r.Name, '/')]]
			rc.VirtualHosts = append(rc.VirtualHosts, m)
		}
	}
	for _, rc := range routes {
		rc.Vhds = nil
		edit(rc)
	}
	for _, l := range listeners {
		embed(t, l, routes)
	}
	b.StaticResources.Listeners = listeners
	return b
}

// embed puts the routes that a listener fetches into it.
func embed(t *testing.T, l *listenerv3.Listener, routes map[string]*routev3.RouteConfiguration) {
	t.Helper()
	filter := l.FilterChains[0].Filters[0]
	var hcm hcmv3.HttpConnectionManager
	if filter.GetTypedConfig().UnmarshalTo(&hcm) != nil {
		return // TCP
	}
	rc := routes[hcm.GetRds().GetRouteConfigName()]
	if rc == nil {
		t.Fatalf("listener %s has no routes", l.Name)
	}
	hcm.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: rc}
	packed, err := anypb.New(&hcm)
	if err != nil {
		t.Fatal(err)
	}
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
}

// bootstrap is the agent's as far as clusters refer to it.
const bootstrap = `{
	"node": {"id": "test", "cluster": "test"},
	"dynamicResources": {"adsConfig": {"apiType": "DELTA_GRPC", "transportApiVersion": "V3", "grpcServices": [{"envoyGrpc": {"clusterName": "sds-grpc"}}]}},
	"staticResources": {"clusters": [{
		"name": "sds-grpc", "type": "STATIC",
		"typedExtensionProtocolOptions": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
			"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicitHttpConfig": {"http2ProtocolOptions": {}}
		}},
		"loadAssignment": {"clusterName": "sds-grpc", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"pipe": {"path": "sds.sock"}}}}]}]}
	}, {
		"name": "als-grpc", "type": "STATIC",
		"typedExtensionProtocolOptions": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
			"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicitHttpConfig": {"http2ProtocolOptions": {}}
		}},
		"loadAssignment": {"clusterName": "als-grpc", "endpoints": [{"lbEndpoints": [{"endpoint": {"address": {"pipe": {"path": "log.sock"}}}}]}]}
	}]}
}`
