package build

import (
	"math"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/ensign-mesh/ensign/mesh"
)

const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// limit sets connect timeout, keepalive and circuit breakers; without a rule
// there is no limit, as in Istio.
func limit(c *clusterv3.Cluster, pool *networking.ConnectionPoolSettings) {
	tcp, http := pool.GetTcp(), pool.GetHttp()
	if d := tcp.GetConnectTimeout(); d.AsDuration() > 0 {
		c.ConnectTimeout = d
	}
	if k := tcp.GetTcpKeepalive(); k != nil {
		c.UpstreamConnectionOptions = &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{
			KeepaliveProbes: positive(k.GetProbes()), KeepaliveTime: positive(uint32(k.GetTime().GetSeconds())),
			KeepaliveInterval: positive(uint32(k.GetInterval().GetSeconds())),
		}}
	}
	c.CircuitBreakers = &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     orUnlimited(tcp.GetMaxConnections()),
		MaxPendingRequests: orUnlimited(http.GetHttp1MaxPendingRequests()),
		MaxRequests:        orUnlimited(http.GetHttp2MaxRequests()),
		MaxRetries:         orUnlimited(http.GetMaxRetries()),
	}}}
}

func orUnlimited(v int32) *wrapperspb.UInt32Value {
	if v > 0 {
		return wrapperspb.UInt32(uint32(v))
	}
	return wrapperspb.UInt32(math.MaxUint32)
}

// positive is the value, or nil for "as the system does".
func positive(v uint32) *wrapperspb.UInt32Value {
	if v == 0 {
		return nil
	}
	return wrapperspb.UInt32(v)
}

// speak sets the HTTP version towards the servers of an HTTP port.
func speak(c *clusterv3.Cluster, p mesh.Protocol, pool *networking.ConnectionPoolSettings_HTTPSettings) {
	if !p.IsHTTP() {
		return
	}
	options := &upstreamv3.HttpProtocolOptions{UpstreamProtocolOptions: explicit(p, pool)}
	if idle, most := pool.GetIdleTimeout(), pool.GetMaxRequestsPerConnection(); idle != nil || most > 0 {
		options.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{IdleTimeout: idle, MaxRequestsPerConnection: positive(uint32(most))}
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: packed(options)}
}

func explicit(p mesh.Protocol, pool *networking.ConnectionPoolSettings_HTTPSettings) *upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_ {
	config := &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig{}
	if p == mesh.HTTP2 {
		config.ProtocolConfig = &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{MaxConcurrentStreams: positive(uint32(pool.GetMaxConcurrentStreams()))},
		}
	} else {
		config.ProtocolConfig = &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}}
	}
	return &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: config}
}
