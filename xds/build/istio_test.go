package build_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

type istioInput struct {
	ID     string            `json:"id"`
	NodeID string            `json:"node_id"`
	Labels map[string]string `json:"labels"`
	// Objects are YAML documents.
	Objects []string `json:"objects"`
}

type istioCase struct {
	Input, Test string
	Call        istioCall
	Want        struct{ Error, ClusterMatched, FilterChainMatched, ListenerMatched, VirtualHostMatched string }
}

type istioCall struct {
	Address, Protocol, TLS, ALPN, Mode string
	Port                               uint32
}

// sniffed are cases that need Envoy to guess the protocol: ports without one,
// which Ensign takes for TCP, and HTTP to a port that is none.
func (c istioCase) sniffed() bool {
	http := strings.HasPrefix(c.Want.VirtualHostMatched, "inbound|http|") || strings.HasSuffix(c.Want.FilterChainMatched, "-http")
	return http && c.Call.Port != 80 || c.Want.Error == "protocol error" && c.Call.Port == 81
}

// What Istio's own tests say of traffic holds here, by the names of listeners,
// filter chains, virtual hosts and clusters.
func TestIstioTraffic(t *testing.T) {
	inbound := map[string]*listenerv3.Listener{}
	outbound := map[string]*listenerv3.Listener{}
	for _, in := range lines[istioInput](t, "testdata/istio/inputs.jsonl") {
		snap := load(t, in.yaml())
		pod := snap.Workloads[mesh.Key{Namespace: "default", Name: "app"}]
		if pod == nil {
			t.Fatalf("%s: the pod is not in the mesh", in.ID)
		}
		inbound[in.ID] = listenerOf(build.Inbound(snap, pod.Inbound), "virtualInbound")
		outbound[in.ID] = listenerOf(build.Base(snap, build.Scope{Namespace: "default"}), "virtualOutbound")
	}
	played := 0
	for _, c := range lines[istioCase](t, "testdata/istio/cases.jsonl") {
		if c.sniffed() {
			continue
		}
		played++
		t.Run(fmt.Sprintf("%s/%s_%s_%d", c.Test, c.Call.Protocol, c.Call.TLS, c.Call.Port), func(t *testing.T) {
			l := inbound[c.Input]
			if c.Call.Port == 15001 {
				l = outbound[c.Input]
			}
			c.check(t, l)
		})
	}
	if played != 53 {
		t.Errorf("%d cases were played, want 53", played)
	}
}

func (c istioCase) check(t *testing.T, l *listenerv3.Listener) {
	chain, virtualHost, cluster, err := c.Call.follow(l)
	if c.Want.Error != "" {
		if err == nil {
			t.Errorf("got to %s, want it refused: %s", cluster, c.Want.Error)
		}
		return
	}
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	for what, pair := range map[string][2]string{
		"cluster": {cluster, c.Want.ClusterMatched}, "filter chain": {chain, c.Want.FilterChainMatched},
		"virtual host": {virtualHost, c.Want.VirtualHostMatched}, "listener": {l.Name, c.Want.ListenerMatched},
	} {
		if pair[1] != "" && pair[0] != pair[1] {
			t.Errorf("%s %s, want %s", what, pair[0], pair[1])
		}
	}
}

// follow is the way of a call through a listener, as Envoy would go it.
func (c istioCall) follow(l *listenerv3.Listener) (chain, virtualHost, cluster string, err error) {
	found := c.chainOf(l)
	if found == nil {
		return "", "", "", fmt.Errorf("no filter chain matched")
	}
	ended := found.TransportSocket != nil // TLS ends here
	if ended && c.TLS != "mtls" {
		return "", "", "", fmt.Errorf("no client certificate")
	}
	last := found.Filters[len(found.Filters)-1].GetTypedConfig()
	var tcp tcpv3.TcpProxy
	if last.MessageIs(&tcp) {
		return found.Name, "", unpacked(last.UnmarshalTo, &tcp).GetCluster(), nil
	}
	if c.Protocol == "tcp" || !ended && (c.TLS == "tls" || c.TLS == "mtls") {
		return "", "", "", fmt.Errorf("not HTTP")
	}
	vh := unpacked(last.UnmarshalTo, &hcmv3.HttpConnectionManager{}).GetRouteConfig().VirtualHosts[0]
	return found.Name, vh.Name, vh.Routes[0].GetRoute().GetCluster(), nil
}

// chainOf goes through Envoy's criteria in their order: at each, the chains that
// name the connection's value, or else those that name none, and never back.
func (c istioCall) chainOf(l *listenerv3.Listener) *listenerv3.FilterChain {
	transport, alpn := "raw_buffer", c.ALPN
	switch {
	case c.TLS == "mtls" && alpn == "":
		transport, alpn = "tls", "istio"
	case c.TLS == "tls" || c.TLS == "mtls":
		transport = "tls"
	}
	type criterion struct {
		named, holds func(*listenerv3.FilterChainMatch) bool
	}
	left := l.FilterChains
	for _, by := range []criterion{
		{func(m *listenerv3.FilterChainMatch) bool { return m.GetDestinationPort() != nil },
			func(m *listenerv3.FilterChainMatch) bool { return m.GetDestinationPort().GetValue() == c.Port }},
		{func(m *listenerv3.FilterChainMatch) bool { return m.GetTransportProtocol() != "" },
			func(m *listenerv3.FilterChainMatch) bool { return m.GetTransportProtocol() == transport }},
		{func(m *listenerv3.FilterChainMatch) bool { return len(m.GetApplicationProtocols()) > 0 },
			func(m *listenerv3.FilterChainMatch) bool {
				return slices.Contains(m.GetApplicationProtocols(), alpn)
			}},
	} {
		var named, silent []*listenerv3.FilterChain
		for _, chain := range left {
			switch m := chain.FilterChainMatch; {
			case !by.named(m):
				silent = append(silent, chain)
			case by.holds(m):
				named = append(named, chain)
			}
		}
		if left = named; len(named) == 0 {
			left = silent
		}
	}
	if len(left) != 1 {
		return nil
	}
	return left[0]
}

func unpacked[T proto.Message](unpack func(proto.Message) error, m T) T {
	if err := unpack(m); err != nil {
		panic(err)
	}
	return m
}

func listenerOf(resources []build.Resource, name string) *listenerv3.Listener {
	for _, r := range resources {
		if l, ok := r.Message.(*listenerv3.Listener); ok && l.Name == name {
			return l
		}
	}
	return nil
}

// yaml is the input's objects and the pod that asks.
func (in istioInput) yaml() string {
	address := strings.Split(in.NodeID, "~")[1]
	labels, _ := json.Marshal(in.Labels)
	return strings.Join(append(in.Objects,
		"{apiVersion: v1, kind: Namespace, metadata: {name: default}}",
		"{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}",
		"{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: default}}",
		fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: app, namespace: default, labels: %s}, "+
			"spec: {serviceAccountName: default, containers: []}, status: {phase: Running, podIP: %s, podIPs: [{ip: %s}]}}",
			labels, address, address)), "\n---\n")
}

func lines[T any](t *testing.T, path string) []T {
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var out []T
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		var one T
		if err := json.Unmarshal(scanner.Bytes(), &one); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, one)
	}
	return out
}
