package build

import (
	"math"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/mesh"
)

// Where captured connections arrive; see docs/architecture.md.
const (
	virtualOutbound = "virtualOutbound"
	outboundPort    = 15001
)

// Base is what every sidecar of the scope has, whatever the services: the
// listener virtualOutbound (15001) and the clusters PassthroughCluster and
// BlackHoleCluster. It reads Config.
func Base(s *mesh.Snapshot, _ Scope) []Resource {
	unknown := unknownCluster(s.Config)
	l := &listenerv3.Listener{
		Name: virtualOutbound, Address: socketAddress(anyAddress, outboundPort),
		UseOriginalDst:   wrapperspb.Bool(true),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		FilterChains: []*listenerv3.FilterChain{
			blackHole(virtualOutbound, outboundPort),
			{Name: virtualOutbound + "-catchall-tcp", Filters: []*listenerv3.Filter{forward(unknown, unknown)}},
		},
	}
	return []Resource{
		{TypeURL: TypeListener, Name: l.Name, Message: l},
		clusterResource(originalDestination(passthroughCluster)),
		clusterResource(&clusterv3.Cluster{
			Name:                 blackHoleCluster,
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
			ConnectTimeout:       durationpb.New(defaultConnectTimeout),
		}),
	}
}

// unknownCluster is where connections to what is no service go.
func unknownCluster(c *mesh.Config) string {
	if c.Passthrough {
		return passthroughCluster
	}
	return blackHoleCluster
}

func clusterResource(c *clusterv3.Cluster) Resource {
	return Resource{TypeURL: TypeCluster, Name: c.Name, Message: c}
}

// blackHole swallows connections that were made to the listener's own port:
// forwarded to their destination they would come back without end.
func blackHole(listener string, port uint32) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{
		Name:             listener + "-blackhole",
		FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(port)},
		Filters:          []*listenerv3.Filter{forward(blackHoleCluster, blackHoleCluster)},
	}
}

// forward sends a connection's bytes to a cluster.
func forward(cluster, statPrefix string) *listenerv3.Filter {
	return networkFilter(tcpFilter, &tcpv3.TcpProxy{
		StatPrefix: statPrefix, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: cluster},
	})
}

func networkFilter(name string, config proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(config)}}
}

// originalDestination is a cluster that leads where the client wanted to go, in
// the HTTP version that the client speaks.
func originalDestination(name string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST},
		LbPolicy:             clusterv3.Cluster_CLUSTER_PROVIDED,
		ConnectTimeout:       durationpb.New(defaultConnectTimeout),
		CircuitBreakers:      withoutLimits(),
		TypedExtensionProtocolOptions: upstreamHTTP(&upstreamv3.HttpProtocolOptions{
			UpstreamProtocolOptions: &upstreamv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
				UseDownstreamProtocolConfig: &upstreamv3.HttpProtocolOptions_UseDownstreamHttpConfig{
					HttpProtocolOptions: &corev3.Http1ProtocolOptions{}, Http2ProtocolOptions: &corev3.Http2ProtocolOptions{},
				},
			},
		}),
	}
}

func upstreamHTTP(options *upstreamv3.HttpProtocolOptions) map[string]*anypb.Any {
	return map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(options)}
}

// withoutLimits lifts Envoy's default of 1,024 connections and requests.
func withoutLimits() *clusterv3.CircuitBreakers {
	most := wrapperspb.UInt32(math.MaxUint32)
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections: most, MaxPendingRequests: most, MaxRequests: most, MaxRetries: most,
	}}}
}
