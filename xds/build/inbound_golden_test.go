package build_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// inboundOf is the inbound side of a pod NAMESPACE/NAME; "unknown" is one that
// the mesh does not know.
func inboundOf(t *testing.T, s *mesh.Snapshot, pod string) []build.Resource {
	t.Helper()
	if pod == "unknown" {
		return build.Inbound(s, nil)
	}
	namespace, name, _ := strings.Cut(pod, "/")
	w := s.Workloads[mesh.Key{Namespace: namespace, Name: name}]
	if w == nil || w.Inbound == nil {
		t.Fatalf("the input has no pod %s with an address", pod)
	}
	return build.Inbound(s, w.Inbound)
}

// TestInbound reads inputs that begin with "# pods: NAMESPACE/NAME…" and maybe
// "# types: …"; "# base" shows what every sidecar has.
func TestInbound(t *testing.T) {
	golden(t, "testdata/inbound", func(t *testing.T, input string) string {
		s := load(t, input)
		types := header(input, "types")
		var out strings.Builder
		if strings.HasPrefix(input, "# base") {
			out.WriteString("### base\n" + show(t, append(build.Base(s, build.Scope{}), build.Denials(s)...)))
		}
		for _, pod := range header(input, "pods") {
			out.WriteString("### pod " + pod + "\n" + show(t, ofTypes(inboundOf(t, s, pod), types)))
		}
		return out.String()
	})
}

// A real Envoy must take all that is made of the inputs.
func TestEnvoyTakesInbound(t *testing.T) {
	envoy := need.Envoy(t)
	inputs, err := filepath.Glob("testdata/inbound/in/*.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, path := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			input, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := load(t, string(input))
			s.Denied = &mesh.Denied{Digests: []string{strings.Repeat("0a", 32)}, Identities: []string{"spiffe://cluster.local/ns/shop/sa/thief"}}
			for _, pod := range append(header(string(input), "pods"), "unknown") {
				resources := slices.Concat(build.Base(s, build.Scope{}), build.Denials(s), inboundOf(t, s, pod))
				if out, err := run(t, envoy, embedded(t, resources)); err != nil {
					t.Errorf("%s: %v\n%s", pod, err, out)
				}
			}
		})
	}
}

// The test above must be able to fail, in a policy too.
func TestEnvoyRefusesABadPolicy(t *testing.T) {
	s := &mesh.Snapshot{TrustDomain: trustDomain, Config: &mesh.Config{}, Denied: &mesh.Denied{}}
	resources := slices.Concat(build.Base(s, build.Scope{}), build.Denials(s), build.Inbound(s, &mesh.Inbound{
		Ports: []mesh.InboundPort{{Number: 80, Protocol: mesh.HTTP}},
	}))
	for _, r := range resources {
		if config, ok := r.Message.(*corev3.TypedExtensionConfig); ok {
			config.TypedConfig.Value = []byte{0x0a, 0x02, 0x08, 0x63} // an action that does not exist
		}
	}
	if out, err := run(t, need.Envoy(t), embedded(t, resources)); err == nil {
		t.Errorf("Envoy took action 99: %s", out)
	}
}

// embedded is a bootstrap that holds the resources. Filters stand where they are
// referred to, since Envoy does not fetch them to validate.
func embedded(t *testing.T, resources []build.Resource) *bootstrapv3.Bootstrap {
	t.Helper()
	b := new(bootstrapv3.Bootstrap)
	if err := protojson.Unmarshal([]byte(bootstrap), b); err != nil {
		t.Fatal(err)
	}
	filters := map[string]*anypb.Any{}
	for _, r := range resources {
		switch m := r.Message.(type) {
		case *clusterv3.Cluster:
			b.StaticResources.Clusters = append(b.StaticResources.Clusters, m)
		case *corev3.TypedExtensionConfig:
			filters[m.Name] = m.TypedConfig
		}
	}
	for _, r := range resources {
		if l, ok := r.Message.(*listenerv3.Listener); ok {
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, resolved(t, l, filters))
		}
	}
	return b
}

// resolved is a listener with the discovered filters in place of the references.
func resolved(t *testing.T, l *listenerv3.Listener, filters map[string]*anypb.Any) *listenerv3.Listener {
	t.Helper()
	l = proto.Clone(l).(*listenerv3.Listener)
	for _, chain := range l.FilterChains {
		for _, f := range chain.Filters {
			if f.GetConfigDiscovery() != nil {
				f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: found(t, filters, f.Name)}
			}
			var manager hcmv3.HttpConnectionManager
			if f.GetTypedConfig().UnmarshalTo(&manager) != nil {
				continue
			}
			for _, h := range manager.HttpFilters {
				if h.GetConfigDiscovery() != nil {
					h.ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: found(t, filters, h.Name)}
				}
			}
			config, err := anypb.New(&manager)
			if err != nil {
				t.Fatal(err)
			}
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: config}
		}
	}
	return l
}

func found(t *testing.T, filters map[string]*anypb.Any, name string) *anypb.Any {
	t.Helper()
	if filters[name] == nil {
		t.Fatalf("no filter %s is made", name)
	}
	return filters[name]
}
