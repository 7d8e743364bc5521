package build_test

import (
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/xds/build"
)

const serverOfA = `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a-1, namespace: shop, labels: {app: a, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: a, containers: [{name: app, image: app}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: bank}
spec: {host: a.shop.svc.cluster.local, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: plain}
spec: {host: a.shop.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: closed}
spec: {host: a.shop.svc.cluster.local, trafficPolicy: {tls: {mode: SIMPLE}}}
---
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: shop}
spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}
`

const idOfA, idOfB = "spiffe://cluster.local/ns/shop/sa/a", "spiffe://cluster.local/ns/shop/sa/b"

func TestWidenAddsNames(t *testing.T) {
	s := load(t, serverOfA)
	for _, namespace := range []string{"shop", "bank"} { // by match, and by the rule for all
		narrow := build.Clusters(s, build.Scope{Namespace: namespace}, "a.shop.svc.cluster.local")[0]
		before := proto.Clone(narrow.Message)
		wide := build.Widen(narrow, []string{idOfB, idOfA})
		if want := []string{idOfA, idOfB}; !slices.Equal(wide.IDs, want) || !slices.Equal(accepts(t, wide), want) {
			t.Errorf("%s: the wide cluster is for %v and accepts %v, want %v", namespace, wide.IDs, accepts(t, wide), want)
		}
		if !proto.Equal(narrow.Message, before) || !slices.Equal(narrow.IDs, []string{idOfA}) {
			t.Errorf("%s: Widen changed what it was given", namespace)
		}
		if wide.Name != narrow.Name || !slices.Equal(wide.Origins, narrow.Origins) {
			t.Errorf("%s: the wide cluster is %s of %v", namespace, wide.Name, wide.Origins)
		}
	}
}

// What speaks plaintext, or to nobody, goes on doing so.
func TestWidenLeavesOthersAlone(t *testing.T) {
	s := load(t, serverOfA)
	for namespace, host := range map[string]string{
		"plain": "a.shop.svc.cluster.local", "closed": "a.shop.svc.cluster.local", "shop": "nobody.shop.svc.cluster.local",
	} {
		c := build.Clusters(s, build.Scope{Namespace: namespace}, host)[0]
		if wide := build.Widen(c, []string{idOfB}); wide.IDs != nil || !proto.Equal(wide.Message, c.Message) {
			t.Errorf("%s: widened to %v", namespace, wide)
		}
	}
	other := build.Resource{Message: &clusterv3.ClusterCollection{}, IDs: []string{idOfA}}
	if wide := build.Widen(other, []string{idOfB}); !slices.Equal(wide.IDs, other.IDs) {
		t.Errorf("what is no cluster was widened to %v", wide.IDs)
	}
}

// accepts are the names that the cluster's TLS takes.
func accepts(t *testing.T, r build.Resource) []string {
	t.Helper()
	c := r.Message.(*clusterv3.Cluster)
	if c.TransportSocket != nil {
		return sansOf(t, c.TransportSocket)
	}
	return sansOf(t, c.TransportSocketMatches[0].TransportSocket)
}
