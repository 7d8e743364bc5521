package build

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/ensign-mesh/ensign/mesh"
)

const tcpFilter = "envoy.filters.network.tcp_proxy"

// outboundTCP forwards the connections of a TCP service's port: as the
// VirtualService in force says, else to the service itself. endpoint is the
// address of a headless service that the client chose, else "".
func outboundTCP(s *mesh.Snapshot, sc Scope, svc *mesh.Service, port uint32, endpoint string) *listenerv3.Filter {
	own := clusterName(port, "", svc.Host)
	m := &tcpv3.TcpProxy{StatPrefix: own, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: own}}
	switch dests := tcpDestinations(s, sc, svc.Host, port); {
	case len(dests) == 1:
		m.ClusterSpecifier = &tcpv3.TcpProxy_Cluster{Cluster: destinationCluster(s, dests[0].GetDestination(), port)}
	case len(dests) > 1:
		m.ClusterSpecifier = &tcpv3.TcpProxy_WeightedClusters{WeightedClusters: tcpWeights(s, dests, port)}
	case endpoint != "":
		m.MetadataMatch = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{subsetMetadata: addressMetadata(endpoint)}}
	}
	logTCP(m, logOutboundTCP, serverTags, logInterval)
	return &listenerv3.Filter{Name: tcpFilter, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(m)}}
}

// tcpDestinations are those of the first TCP route of the VirtualService in force
// that holds for every client of the port; none: the service itself.
func tcpDestinations(s *mesh.Snapshot, sc Scope, host string, port uint32) []*networking.RouteDestination {
	r := routeFor(s, sc, host)
	if r == nil {
		return nil
	}
	for _, route := range r.Spec.GetTcp() {
		if len(route.GetMatch()) == 0 {
			return route.GetRoute()
		}
		for _, m := range route.GetMatch() {
			if tcpMatches(m, sc, port) {
				return route.GetRoute()
			}
		}
	}
	return nil
}

// tcpMatches: a match by what all proxies of a scope do not share, or by the
// destination's subnet, never holds: the more general route behind it is taken.
func tcpMatches(m *networking.L4MatchAttributes, sc Scope, port uint32) bool {
	return (m.GetPort() == 0 || m.GetPort() == port) &&
		(m.GetSourceNamespace() == "" || m.GetSourceNamespace() == sc.Namespace) &&
		len(m.GetDestinationSubnets()) == 0 && len(m.GetSourceLabels()) == 0 && m.GetSourceSubnet() == ""
}

func tcpWeights(s *mesh.Snapshot, dests []*networking.RouteDestination, port uint32) *tcpv3.TcpProxy_WeightedCluster {
	out := &tcpv3.TcpProxy_WeightedCluster{}
	for _, d := range dests {
		if d.GetWeight() > 0 {
			out.Clusters = append(out.Clusters, &tcpv3.TcpProxy_WeightedCluster_ClusterWeight{
				Name: destinationCluster(s, d.GetDestination(), port), Weight: uint32(d.GetWeight()),
			})
		}
	}
	return out
}
