package build_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/test/meshgen"
	"github.com/ensign-mesh/ensign/xds/build"
)

var shop = build.Scope{Namespace: "shop", VHDS: true}

// tcpClusters are the clusters that TCP listeners lead to, by the listener's name.
func tcpClusters(t *testing.T, s *mesh.Snapshot, port uint32) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range build.Port(s, shop, port) {
		l, ok := r.Message.(*listenerv3.Listener)
		if !ok {
			continue
		}
		var tcp tcpv3.TcpProxy
		if l.FilterChains[0].Filters[0].GetTypedConfig().UnmarshalTo(&tcp) == nil {
			out[l.Name] = tcp.GetCluster()
		}
	}
	return out
}

// Nobody takes the address of a service by claiming it too.
func TestAnAddressIsItsOwners(t *testing.T) {
	s, _ := meshgen.LoadFlawed(t, `
apiVersion: v1
kind: Service
metadata: {name: zz-db, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 5432}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: thief, namespace: evil}
spec:
  hosts: [aa.example.com]
  addresses: [10.96.0.1, 10.96.0.2, 10.96.0.3]
  resolution: STATIC
  ports: [{name: tcp, number: 5432, protocol: TCP}]
`)
	got := tcpClusters(t, s, 5432)
	want := map[string]string{
		"10.96.0.1_5432": "outbound|5432||zz-db.shop.svc.cluster.local",
		"10.96.0.3_5432": "outbound|5432||aa.example.com",
	}
	if len(got) != len(want) || got["10.96.0.1_5432"] != want["10.96.0.1_5432"] || got["10.96.0.3_5432"] != want["10.96.0.3_5432"] {
		t.Errorf("listeners lead to %v, want %v", got, want)
	}
}

// A headless service listens on its own pods' addresses, not on others'.
func TestHeadlessServiceClaimsNoForeignPods(t *testing.T) {
	s := load(t, `
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: evil}
spec: {clusterIP: None, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: victim, namespace: shop}
spec: {serviceAccountName: a, containers: [{name: app, image: app}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: own, namespace: evil}
spec: {serviceAccountName: a, containers: [{name: app, image: app}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: peers-1, namespace: evil, labels: {kubernetes.io/service-name: peers}}
addressType: IPv4
ports: [{name: tcp, port: 5432}]
endpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}, {addresses: [10.0.0.3]}]
`)
	var names []string
	for name := range tcpClusters(t, s, 5432) {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := "10.0.0.2_5432 10.0.0.3_5432"; strings.Join(names, " ") != want {
		t.Errorf("listeners %v, want %s", names, want)
	}
}

// Called like a service, by whichever of its short names, nobody gets what is
// meant for it; nor by claiming its address.
func TestShortNamesAreTheirServices(t *testing.T) {
	s, _ := meshgen.LoadFlawed(t, `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.96.0.11, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: hidden, namespace: shop, annotations: {networking.istio.io/exportTo: bank}}
spec: {clusterIP: 10.96.0.12, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: thief, namespace: evil}
spec:
  hosts: [reviews, hidden, other.example.com]
  addresses: [10.96.0.11, 10.96.0.12]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{name: http, number: 9080, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: thief, namespace: evil}
spec: {hosts: [hidden.shop, 10.96.0.12], http: [{directResponse: {status: 200}}]}
`)
	for _, sc := range []build.Scope{{Namespace: "shop"}, {Namespace: "shop", VHDS: true}, {Namespace: "bank"}} {
		holders := map[string]string{}
		for _, port := range []uint32{80, 9080} {
			for _, vh := range virtualHosts(s, sc, port) {
				for _, d := range vh.Domains {
					holders[d] = vh.Name[strings.Index(vh.Name, "/")+1:]
				}
			}
		}
		for _, name := range []string{"reviews", "reviews.shop", "reviews.shop.svc", "10.96.0.11", "hidden", "hidden.shop", "hidden.shop.svc", "10.96.0.12"} {
			if sc.Namespace == "bank" && (name == "reviews" || name == "hidden") {
				continue // means no service there
			}
			if h := holders[name]; h != "" && !strings.HasSuffix(h, ".shop.svc.cluster.local:9080") {
				t.Errorf("scope %+v: %s is %s", sc, name, h)
			}
		}
		if holders["reviews.shop"] != "reviews.shop.svc.cluster.local:9080" || holders["10.96.0.11"] != "reviews.shop.svc.cluster.local:9080" {
			t.Errorf("scope %+v: reviews is not its own: %v", sc, holders)
		}
	}
}

// virtualHosts are a port's, by VHDS or within its RouteConfiguration.
func virtualHosts(s *mesh.Snapshot, sc build.Scope, port uint32) []*routev3.VirtualHost {
	var out []*routev3.VirtualHost
	for _, r := range build.Port(s, sc, port) {
		if rc, ok := r.Message.(*routev3.RouteConfiguration); ok {
			out = append(out, rc.VirtualHosts...)
		}
	}
	for _, host := range hostsOf(s) {
		for _, r := range build.VirtualHosts(s, sc, host) {
			if strings.HasPrefix(r.Name, fmt.Sprintf("%d/", port)) {
				out = append(out, r.Message.(*routev3.VirtualHost))
			}
		}
	}
	return out
}

// What clients send to the pods of a headless service by address goes there,
// whatever address a ServiceEntry claims and wherever its endpoints are.
func TestNoEntryClaimsAHeadlessServicesPods(t *testing.T) {
	s, problems := meshgen.LoadFlawed(t, `
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: shop}
spec: {clusterIP: None, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: peers-0, namespace: shop}
spec: {serviceAccountName: a, containers: [{name: app, image: app}]}
status: {phase: Running, podIP: 10.77.0.6}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: peers-1, namespace: shop, labels: {kubernetes.io/service-name: peers}}
addressType: IPv4
ports: [{name: tcp, port: 5432}]
endpoints: [{addresses: [10.77.0.6]}, {addresses: [10.77.0.7]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: thief, namespace: evil}
spec:
  hosts: [aa.example.com]
  addresses: [10.77.0.6, 10.77.0.7, 10.77.0.8]
  resolution: STATIC
  ports: [{name: tcp, number: 5432, protocol: TCP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: other-thief, namespace: evil}
spec:
  hosts: [a.example.com]
  resolution: STATIC
  ports: [{name: tcp, number: 5432, protocol: TCP}]
  endpoints: [{address: 10.77.0.6}, {address: 10.77.0.7}]
`)
	got, peers := tcpClusters(t, s, 5432), "outbound|5432||peers.shop.svc.cluster.local"
	want := map[string]string{"10.77.0.6_5432": peers, "10.77.0.7_5432": peers, "10.77.0.8_5432": "outbound|5432||aa.example.com"}
	if !maps.Equal(got, want) || len(problems) != 1 {
		t.Errorf("listeners lead to %v, want %v; problems %+v", got, want, problems)
	}
}
