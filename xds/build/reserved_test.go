package build_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/test/meshgen"
	"github.com/ensign-mesh/ensign/xds/build"
)

// A listener 0.0.0.0_15001 would have virtualOutbound's address: Envoy refuses
// one of the two, and at its start it may be the one that all traffic needs.
func TestTheSidecarsOwnPortsGetNothing(t *testing.T) {
	for _, port := range []uint32{15001, 15006} {
		s, _ := meshgen.LoadFlawed(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: %d}, {name: http-more, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: 10.96.0.2, ports: [{name: tcp, port: %[1]d}]}
`, port))
		if got := build.Ports(s, shop); !slices.Equal(got, []uint32{80}) {
			t.Errorf("ports %v, want 80 alone", got)
		}
		if got := build.Port(s, shop, port); len(got) > 0 {
			t.Errorf("port %d: %v", port, got)
		}
		hosts := build.VirtualHosts(s, shop, "web.shop.svc.cluster.local")
		if len(hosts) != 1 || hosts[0].Name != "80/web.shop.svc.cluster.local:80" {
			t.Errorf("virtual hosts %v", hosts)
		}
	}
}

// Whoever has to mend what Envoy refused is told whose it is.
func TestAPortNamesItsServices(t *testing.T) {
	yaml := ""
	for i := range 12 {
		yaml += fmt.Sprintf("---\n{apiVersion: v1, kind: Service, metadata: {name: s%02d, namespace: shop}, spec: {clusterIP: 10.96.0.%d, ports: [{name: http, port: 80}]}}\n", i, i+1)
	}
	for _, r := range build.Port(load(t, yaml), shop, 80) {
		if len(r.Origins) != 8 || r.Origins[0].Kind != mesh.KindService || r.Origins[0].Name != "s00" {
			t.Errorf("%s is of %v, want the first 8 services", r.Name, r.Origins)
		}
	}
}
