package build

import (
	"math"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

const (
	inboundPassthrough = "InboundPassthroughCluster"
	// loopbackSource is the address from which Envoy connects to its own pod: the
	// capture rules let it pass, while from any other the connection would be
	// captured again, and again.
	loopbackSource = "127.0.0.6"
)

// Inbound is the inbound side of one workload group: the listener
// virtualInbound (15006), the clusters inbound|PORT|| and
// InboundPassthroughCluster, and the RBAC filters of its policies as ECDS
// resources (see [Denials] for those that all share). in == nil is a pod that the
// mesh does not know: as of one in quarantine, everything is denied.
//
// It reads *in and TrustDomain.
func Inbound(s *mesh.Snapshot, in *mesh.Inbound) []Resource {
	if in == nil || in.Quarantined {
		in = unknownWorkload
	}
	// Compile's error needs no hearing here: what it could not read denies, and
	// the source of the policies has reported it.
	rules, _ := authz.Compile(in.Policies)
	l := inboundListener(s, in, rules)
	out := []Resource{
		{TypeURL: TypeListener, Name: l.Name, Message: l, Origins: originsOf(in, false)},
		clusterResource(toSelf(originalDestination(inboundPassthrough))),
	}
	for _, port := range servedPorts(in) {
		out = append(out, clusterResource(inboundCluster(port)))
	}
	return append(out, rbacFilters(s.TrustDomain, rules, originsOf(in, true))...)
}

// originsOf are the AuthorizationPolicies in force, or the other objects: a
// resource that a client refuses is blamed on its origins.
func originsOf(in *mesh.Inbound, policies bool) []mesh.Ref {
	var out []mesh.Ref
	for _, ref := range in.Origins {
		if (ref.Kind == mesh.KindAuthorizationPolicy) == policies {
			out = append(out, ref)
		}
	}
	return out
}

// unknownWorkload serves nobody: it demands mTLS everywhere and has an ALLOW policy that allows nobody.
var unknownWorkload = &mesh.Inbound{
	MTLS:     mesh.PeerMTLS{Mode: mesh.Strict},
	Policies: []*authz.Policy{{Name: "unknown-workload", Action: authz.Allow}},
}

// servedPorts are the ports that a service sends to, each once: a filter chain
// that stands twice, or has a port that can't be, would have Envoy refuse the
// whole listener.
func servedPorts(in *mesh.Inbound) []mesh.InboundPort {
	seen := mesh.Set[uint32]{}
	var out []mesh.InboundPort
	for _, p := range in.Ports {
		if servable(p.Number) && !seen.Has(p.Number) {
			seen.Add(p.Number)
			out = append(out, p)
		}
	}
	return out
}

// servable: the listener's own port leads nowhere.
func servable(port uint32) bool { return port > 0 && port <= math.MaxUint16 && port != inboundPort }

const inboundClusterPrefix = "inbound|"

func inboundClusterName(port uint32) string { return inboundClusterPrefix + routeName(port) + "||" }

// LeadsInside says whether a cluster of this name leads from the inbound listener
// to a port of the application.
func LeadsInside(cluster string) bool { return strings.HasPrefix(cluster, inboundClusterPrefix) }

// inboundCluster leads to the application: to the address that the client asked
// for, so that an application need not listen on all of them.
func inboundCluster(port mesh.InboundPort) *clusterv3.Cluster {
	c := toSelf(originalDestination(inboundClusterName(port.Number)))
	c.TypedExtensionProtocolOptions = nil
	if port.Protocol == mesh.HTTP2 {
		c.TypedExtensionProtocolOptions = upstreamHTTP(&upstreamv3.HttpProtocolOptions{
			UpstreamProtocolOptions: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_{
				ExplicitHttpConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig{
					ProtocolConfig: &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
						Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
					},
				},
			},
		})
	}
	return c
}

func toSelf(c *clusterv3.Cluster) *clusterv3.Cluster {
	c.UpstreamBindConfig = &corev3.BindConfig{SourceAddress: socketAddress(loopbackSource, 0).GetSocketAddress()}
	return c
}

// inboundListener holds the chains of each port and those for all others. It has
// no default chain, which Envoy would give what a port's own chains refuse, and
// does not use_original_dst, which would hand a connection to the outbound
// listener of its destination, past every policy.
func inboundListener(s *mesh.Snapshot, in *mesh.Inbound, rules *authz.Ruleset) *listenerv3.Listener {
	b := chainBuilder{tls: downstreamTLS(s.TrustDomain)}
	chains := []*listenerv3.FilterChain{blackHole(VirtualInbound, inboundPort)}
	targets := inboundTargets(in, rules)
	for _, t := range targets {
		t.life = connectionLife(s)
		chains = append(chains, b.chains(t)...)
	}
	return &listenerv3.Listener{
		Name: VirtualInbound, Address: socketAddress(anyAddress, inboundPort),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		ListenerFilters:  inboundListenerFilters(targets),
		// A client that waits for the server's first word sends nothing to inspect:
		// after the timeout it counts as plaintext, and goes where that may go. Both
		// settings are the same in all modes, so that a change of mode drains no
		// connection but those of the chains that changed.
		ListenerFiltersTimeout:           durationpb.New(inspectionTimeout),
		ContinueOnListenerFiltersTimeout: true,
		FilterChains:                     chains,
	}
}
