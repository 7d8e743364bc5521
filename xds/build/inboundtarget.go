package build

import (
	"cmp"
	"maps"
	"slices"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/mesh"
)

// VirtualInbound is the listener that takes all that is sent to a workload.
const (
	VirtualInbound = "virtualInbound"
	inboundPort    = 15006
)

// inspectionTimeout is how long a connection may stay silent before it counts as
// plaintext: the wait of a client whose server speaks first, on a port that takes
// both. A TLS client that is slower is lost.
const inspectionTimeout = 2 * time.Second

// inboundTarget is one destination behind the inbound listener.
type inboundTarget struct {
	port        uint32 // 0: every port that has no target of its own
	servicePort uint32 // in the virtual host's name
	http        bool
	cluster     string
	mode        mesh.MTLSMode
	guarded     bool          // as TCP: some are refused, see authz.Ruleset.GuardsTCP
	life        time.Duration // how long a connection may last, see connectionLife
}

// inboundTargets are the served ports, then the ports without a service for which
// there is an exception of the mTLS mode, then the rest.
func inboundTargets(in *mesh.Inbound, rules *authz.Ruleset) []inboundTarget {
	var out []inboundTarget
	served := mesh.Set[uint32]{}
	for _, p := range servedPorts(in) {
		served.Add(p.Number)
		out = append(out, inboundTarget{
			port: p.Number, servicePort: p.ServicePort, http: p.Protocol.IsHTTP(),
			cluster: inboundClusterName(p.Number), mode: in.MTLS.For(p.Number),
			guarded: rules.GuardsTCP(p.Number),
		})
	}
	for _, number := range slices.Sorted(maps.Keys(in.MTLS.Ports)) {
		if servable(number) && !served.Has(number) {
			served.Add(number)
			out = append(out, inboundTarget{
				port: number, cluster: inboundPassthrough, mode: in.MTLS.For(number), guarded: rules.GuardsTCP(number),
			})
		}
	}
	rest := inboundTarget{cluster: inboundPassthrough, mode: in.MTLS.Mode, guarded: guardsRest(rules, served)}
	if in == unknownWorkload {
		rest.cluster = blackHoleCluster // nobody is let in
	}
	return append(out, rest)
}

// SilentPorts are, sorted, the ports of a workload on which an mTLS connection is
// told of (see accesslog.go) not when its handshake ends but up to a second later,
// while its client is silent. 15006 stands for all ports that have no chain of
// their own. A quarantine changes nothing of it: connections of before it may live.
func SilentPorts(in *mesh.Inbound) []uint32 {
	rules, _ := authz.Compile(in.Policies) // see Inbound
	var out []uint32
	for _, t := range inboundTargets(in, rules) {
		if t.guarded && !t.http && t.mode != mesh.Disable {
			out = append(out, cmp.Or(t.port, inboundPort))
		}
	}
	slices.Sort(out)
	return out
}

// logInterval is how often a live TCP connection is told of.
func (t inboundTarget) logInterval() time.Duration {
	if t.guarded {
		return silentInterval
	}
	return logInterval
}

// guardsRest says whether policies refuse some on a port that has no chain of its own.
func guardsRest(rules *authz.Ruleset, own mesh.Set[uint32]) bool {
	return rules.GuardsTCP(0) || slices.ContainsFunc(rules.TCPPorts(), func(port uint32) bool {
		return !own.Has(port) && rules.GuardsTCP(port)
	})
}

// chainName is Istio's.
func (t inboundTarget) chainName() string {
	if t.port == 0 {
		return VirtualInbound
	}
	return listenerName(anyAddress, t.port)
}

// inboundListenerFilters find out where a connection was going and whether it
// begins with TLS. Ports that take plaintext alone are not inspected: their
// applications may speak first.
func inboundListenerFilters(targets []inboundTarget) []*listenerv3.ListenerFilter {
	inspector := listenerFilter("envoy.filters.listener.tls_inspector", &inspectorv3.TlsInspector{})
	rest := targets[len(targets)-1].mode == mesh.Disable
	var exceptions []*listenerv3.ListenerFilterChainMatchPredicate
	for _, t := range targets[:len(targets)-1] {
		if (t.mode == mesh.Disable) != rest {
			exceptions = append(exceptions, onPort(t.port))
		}
	}
	switch {
	case len(exceptions) > 0 && rest:
		inspector.FilterDisabled = &listenerv3.ListenerFilterChainMatchPredicate{
			Rule: &listenerv3.ListenerFilterChainMatchPredicate_NotMatch{NotMatch: onAny(exceptions)},
		}
	case len(exceptions) > 0:
		inspector.FilterDisabled = onAny(exceptions)
	case rest:
		inspector.FilterDisabled = &listenerv3.ListenerFilterChainMatchPredicate{
			Rule: &listenerv3.ListenerFilterChainMatchPredicate_AnyMatch{AnyMatch: true},
		}
	}
	return []*listenerv3.ListenerFilter{
		listenerFilter("envoy.filters.listener.original_dst", &originaldstv3.OriginalDst{}), inspector,
	}
}

// onAny holds when one of at least one predicate does; Envoy refuses an "or" of one.
func onAny(all []*listenerv3.ListenerFilterChainMatchPredicate) *listenerv3.ListenerFilterChainMatchPredicate {
	if len(all) == 1 {
		return all[0]
	}
	return &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_OrMatch{
		OrMatch: &listenerv3.ListenerFilterChainMatchPredicate_MatchSet{Rules: all},
	}}
}

func listenerFilter(name string, config proto.Message) *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{
		Name: name, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(config)},
	}
}

func onPort(port uint32) *listenerv3.ListenerFilterChainMatchPredicate {
	return &listenerv3.ListenerFilterChainMatchPredicate{
		Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
			DestinationPortRange: &typev3.Int32Range{Start: int32(port), End: int32(port) + 1},
		},
	}
}
