package build_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

var inboundWorld = &mesh.Snapshot{TrustDomain: trustDomain, Config: &mesh.Config{Passthrough: true}, Denied: &mesh.Denied{}}

// inboundPorts hold odd ones: none, the listener's own, one that can't be.
var inboundPorts = []uint32{0, 80, 81, 8080, 9090, 15006, 65535, 65536}

func drawMode(t *rapid.T) mesh.MTLSMode {
	return rapid.SampledFrom([]mesh.MTLSMode{mesh.Strict, mesh.Permissive, mesh.Disable, "", "LAX"}).Draw(t, "mode")
}

func drawInbound(t *rapid.T) *mesh.Inbound {
	in := &mesh.Inbound{Namespace: "shop", MTLS: mesh.PeerMTLS{Mode: drawMode(t), Ports: map[uint32]mesh.MTLSMode{}}}
	for _, number := range rapid.SliceOfN(rapid.SampledFrom(inboundPorts), 0, 6).Draw(t, "ports") {
		in.Ports = append(in.Ports, mesh.InboundPort{
			Number: number, Host: "web.shop.svc.cluster.local", ServicePort: 80,
			Protocol: rapid.SampledFrom([]mesh.Protocol{mesh.HTTP, mesh.HTTP2, mesh.TCP, ""}).Draw(t, "protocol"),
		})
	}
	for _, number := range rapid.SliceOfN(rapid.SampledFrom(inboundPorts), 0, 3).Draw(t, "exceptions") {
		in.MTLS.Ports[number] = drawMode(t)
	}
	for _, action := range rapid.SliceOfN(rapid.SampledFrom([]authz.Action{authz.Allow, authz.Deny, "AUDIT"}), 0, 2).Draw(t, "actions") {
		in.Policies = append(in.Policies, &authz.Policy{Namespace: "shop", Name: "p", Action: action, Rules: []authz.Rule{
			{From: []authz.Source{{Namespaces: []string{"a", "b*"}}}}, {To: []authz.Operation{{Paths: []string{"/a"}}}},
		}})
	}
	return in
}

// The same inbound side is the same configuration, byte for byte.
func TestInboundIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInbound(t)
		again := *in
		again.MTLS.Ports = maps.Clone(in.MTLS.Ports)
		if a, b := build.Inbound(inboundWorld, in), build.Inbound(inboundWorld, &again); !same(a, b) {
			t.Fatalf("%v\nand %v", a, b)
		}
	})
}

// Whatever stands in the mesh, Envoy can take the listener, no chain is open
// that the mode closes, and none leads past the policies.
func TestInboundIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInbound(t)
		in.Quarantined = rapid.IntRange(0, 4).Draw(t, "quarantined") == 0
		resources := slices.Concat(build.Inbound(inboundWorld, in), build.Base(inboundWorld, build.Scope{}), build.Denials(inboundWorld))
		names := map[string]bool{}
		for _, r := range resources {
			if names[r.TypeURL+r.Name] {
				t.Fatalf("%s stands twice", r.Name)
			}
			names[r.TypeURL+r.Name] = true
		}
		l := inboundListener(resources)
		if l.DefaultFilterChain != nil || l.UseOriginalDst.GetValue() {
			t.Fatal("connections are handed past the chains")
		}
		matches := map[string]bool{}
		for _, chain := range l.FilterChains {
			match := string(encoded(chain.FilterChainMatch))
			if matches[match] {
				t.Fatalf("two chains match %v", chain.FilterChainMatch)
			}
			matches[match] = true
			checkChain(t, in, chain, names)
		}
	})
}

func inboundListener(resources []build.Resource) *listenerv3.Listener {
	i := slices.IndexFunc(resources, func(r build.Resource) bool { return r.Name == "virtualInbound" })
	return resources[i].Message.(*listenerv3.Listener)
}

func checkChain(t *rapid.T, in *mesh.Inbound, chain *listenerv3.FilterChain, names map[string]bool) {
	port := chain.FilterChainMatch.GetDestinationPort().GetValue()
	filters, cluster := pathOf(t, chain)
	if !names[build.TypeCluster+cluster] {
		t.Fatalf("%s leads to %s, which is not made", chain.Name, cluster)
	}
	if cluster == "BlackHoleCluster" {
		return
	}
	if in.Quarantined {
		t.Fatalf("port %d: in quarantine, and leads to %s", port, cluster)
	}
	mode := in.MTLS.Mode
	if port != 0 {
		mode = in.MTLS.For(port)
	}
	switch secured := chain.TransportSocket != nil; {
	case mode == mesh.Disable && secured:
		t.Fatalf("port %d: mTLS in DISABLE", port)
	case mode != mesh.Disable && mode != mesh.Permissive && !secured:
		t.Fatalf("port %d: plaintext in mode %q", port, mode)
	}
	kind := strings.Split(filters[0], "/")[1]
	if want := []string{"rbac/" + kind + "/revoked", "rbac/" + kind + "/deny", "rbac/" + kind + "/allow"}; !slices.Equal(filters, want) {
		t.Fatalf("port %d: passes %v", port, filters)
	}
	for _, name := range filters {
		if !names[build.TypeExtension+name] {
			t.Fatalf("filter %s is not made", name)
		}
	}
}

// pathOf is what a connection passes on its way, and the cluster it gets to.
func pathOf(t *rapid.T, chain *listenerv3.FilterChain) (filters []string, cluster string) {
	for _, f := range chain.Filters {
		var manager hcmv3.HttpConnectionManager
		var proxy tcpv3.TcpProxy
		switch {
		case f.GetConfigDiscovery() != nil:
			filters = append(filters, f.Name)
		case f.GetTypedConfig().UnmarshalTo(&proxy) == nil:
			return filters, proxy.GetCluster()
		case f.GetTypedConfig().UnmarshalTo(&manager) == nil:
			for _, h := range manager.HttpFilters {
				if h.GetConfigDiscovery() != nil {
					filters = append(filters, h.Name)
				}
			}
			return filters, manager.GetRouteConfig().VirtualHosts[0].Routes[0].GetRoute().GetCluster()
		}
	}
	t.Fatalf("%s leads nowhere", chain.Name)
	return nil, ""
}

// A policy never changes the listener, which would drain connections, but for
// when TCP ports connect to their application, and so how often they are told of.
func TestPoliciesLeaveTheListenerAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInbound(t)
		open := *in
		open.Policies = nil
		with, without := inboundListener(build.Inbound(inboundWorld, in)), inboundListener(build.Inbound(inboundWorld, &open))
		eager(t, with)
		eager(t, without)
		if !proto.Equal(with, without) {
			t.Fatalf("%v\nand %v", with, without)
		}
	})
}

// eager takes off what says when TCP ports connect.
func eager(t *rapid.T, l *listenerv3.Listener) {
	for _, chain := range l.FilterChains {
		last := chain.Filters[len(chain.Filters)-1].GetTypedConfig()
		var m tcpv3.TcpProxy
		if !last.MessageIs(&m) {
			continue
		}
		if err := last.UnmarshalTo(&m); err != nil {
			t.Fatal(err)
		}
		m.UpstreamConnectMode, m.MaxEarlyDataBytes = 0, nil
		if m.AccessLogOptions != nil {
			m.AccessLogOptions.AccessLogFlushInterval = nil
		}
		if err := last.MarshalFrom(&m); err != nil {
			t.Fatal(err)
		}
	}
}

// A switch between PERMISSIVE and STRICT takes plaintext chains away and leaves
// every other byte that Envoy compares.
func TestStrictKeepsTheMeshsChains(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInbound(t)
		in.MTLS.Mode = mesh.Permissive
		strict := *in
		strict.MTLS.Mode = mesh.Strict
		before, after := inboundListener(build.Inbound(inboundWorld, in)), inboundListener(build.Inbound(inboundWorld, &strict))
		kept := map[string]bool{}
		for _, chain := range after.FilterChains {
			kept[string(encoded(chain))] = true
		}
		for _, chain := range before.FilterChains {
			if chain.TransportSocket != nil && !kept[string(encoded(chain))] {
				t.Fatalf("%s with mTLS changes", chain.Name)
			}
		}
		before.FilterChains, after.FilterChains = nil, nil
		if !proto.Equal(before, after) {
			t.Fatalf("outside of the chains: %v\nand %v", before, after)
		}
	})
}
