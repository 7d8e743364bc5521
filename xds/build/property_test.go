package build_test

import (
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/test/meshgen"
	"github.com/ensign-mesh/ensign/xds/build"
)

// scopes are those of every namespace, with VHDS and without.
func scopes() []build.Scope {
	var out []build.Scope
	for _, namespace := range meshgen.Namespaces {
		out = append(out, build.Scope{Namespace: namespace, VHDS: true}, build.Scope{Namespace: namespace})
	}
	return out
}

func snapshot(objects []mesh.Object) *mesh.Snapshot {
	s, _, _ := mesh.NewBuilder(meshgen.TrustDomain).Apply(mesh.Update{Upserts: objects})
	return s
}

func same(a, b []build.Resource) bool {
	return slices.EqualFunc(a, b, func(x, y build.Resource) bool {
		return x.TypeURL == y.TypeURL && x.Name == y.Name && slices.Equal(x.IDs, y.IDs) && slices.Equal(x.Origins, y.Origins) &&
			string(encoded(x.Message)) == string(encoded(y.Message))
	})
}

func encoded(m proto.Message) []byte {
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return out
}

// The same mesh is the same configuration, byte for byte, however it came about.
func TestOutboundIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		objects := meshgen.Mesh(t, 12)
		shuffled := rapid.Permutation(objects).Draw(t, "order")
		one, other := snapshot(objects), snapshot(shuffled)
		for _, sc := range scopes() {
			if a, b := outbound(one, sc), outbound(other, sc); !same(a, b) {
				t.Fatalf("scope %+v: %v\nand %v", sc, a, b)
			}
		}
	})
}

// Scopes that see the same of a host share what is built for it.
func TestEqualVisibilityIsEqualConfiguration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := snapshot(meshgen.Mesh(t, 15))
		for _, host := range hostsOf(s) {
			first := map[build.Visibility]build.Scope{}
			for _, sc := range scopes() {
				v := build.Visible(s, sc, host)
				other, seen := first[v]
				if !seen {
					first[v] = sc
					continue
				}
				for name, f := range map[string]func(*mesh.Snapshot, build.Scope, string) []build.Resource{
					"Clusters": build.Clusters, "Endpoints": build.Endpoints, "VirtualHosts": build.VirtualHosts,
				} {
					if a, b := f(s, sc, host), f(s, other, host); !same(a, b) {
						t.Fatalf("%s of %s: %+v and %+v both are %+v, and get %v and %v", name, host, sc, other, v, a, b)
					}
				}
			}
		}
	})
}

// What would make Envoy refuse a configuration, or accept any server, never happens.
func TestOutboundIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := snapshot(meshgen.Mesh(t, 15))
		for _, sc := range scopes() {
			resources := outbound(s, sc)
			names, domains := map[string]bool{}, map[string]bool{}
			for _, r := range resources {
				if key := r.TypeURL + " " + r.Name; names[key] {
					t.Fatalf("%s is there twice", key)
				} else {
					names[key] = true
				}
				if err := r.Message.(interface{ ValidateAll() error }).ValidateAll(); err != nil {
					t.Fatalf("%s: %v", r.Name, err)
				}
				switch m := r.Message.(type) {
				case *clusterv3.Cluster:
					checkNames(t, r, m)
				case *routev3.VirtualHost:
					checkDomains(t, r.Name[:strings.IndexByte(r.Name, '/')], m, domains)
				case *routev3.RouteConfiguration:
					for _, vh := range m.VirtualHosts {
						checkDomains(t, r.Name, vh, domains)
					}
				case *listenerv3.Listener:
					if strings.HasPrefix(r.Name, "0.0.0.0_") && !hasRoutes(resources, strings.TrimPrefix(r.Name, "0.0.0.0_")) {
						t.Fatalf("listener %s has no routes", r.Name)
					}
				}
			}
			checkAssignments(t, resources)
		}
	})
}

func hasRoutes(resources []build.Resource, name string) bool {
	return slices.ContainsFunc(resources, func(r build.Resource) bool { return r.TypeURL == build.TypeRoute && r.Name == name })
}

func checkDomains(t *rapid.T, route string, vh *routev3.VirtualHost, seen map[string]bool) {
	for _, d := range vh.Domains {
		if seen[route+" "+d] {
			t.Fatalf("domain %s is twice in route configuration %s", d, route)
		}
		seen[route+" "+d] = true
	}
}

// checkNames: every TLS socket accepts exactly the cluster's IDs, or nobody.
func checkNames(t *rapid.T, r build.Resource, c *clusterv3.Cluster) {
	var sockets []*corev3.TransportSocket
	if c.TransportSocket != nil {
		sockets = append(sockets, c.TransportSocket)
	}
	for _, m := range c.TransportSocketMatches {
		if len(m.Match.GetFields()) > 0 {
			sockets = append(sockets, m.TransportSocket)
		}
	}
	for _, socket := range sockets {
		want := r.IDs
		if len(want) == 0 {
			want = []string{"spiffe://ensign.invalid/nobody"}
		}
		if got := sansOf(t, socket); !slices.Equal(got, want) {
			t.Fatalf("%s accepts %v, want %v", r.Name, got, want)
		}
	}
	if len(sockets) == 0 && r.IDs != nil {
		t.Fatalf("%s has IDs and no TLS", r.Name)
	}
}

func sansOf(t interface{ Fatal(...any) }, socket *corev3.TransportSocket) []string {
	var context tlsv3.UpstreamTlsContext
	if err := socket.GetTypedConfig().UnmarshalTo(&context); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range context.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames() {
		out = append(out, m.GetMatcher().GetExact())
	}
	return out
}

// checkAssignments: each cluster has its endpoints, in the same order.
func checkAssignments(t *rapid.T, resources []build.Resource) {
	var clusters, assignments []string
	for _, r := range resources {
		switch r.TypeURL {
		case build.TypeCluster:
			clusters = append(clusters, r.Name)
		case build.TypeEndpoint:
			assignments = append(assignments, r.Name)
		}
	}
	if !slices.Equal(clusters, assignments) {
		t.Fatalf("clusters %v, endpoints of %v", clusters, assignments)
	}
}
