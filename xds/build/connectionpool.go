package build

import (
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/ensign-mesh/ensign/mesh"
)

const (
	httpOptions           = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	defaultConnectTimeout = 10 * time.Second
)

// limit sets connect timeout, keepalive and circuit breakers. Without a rule
// nothing is limited: Envoy's own 1,024 would cut off who never asked for a limit.
func (t target) limit(c *clusterv3.Cluster) {
	tcp, http := t.tuning.pool.GetTcp(), t.tuning.pool.GetHttp()
	c.ConnectTimeout = durationpb.New(defaultConnectTimeout)
	if d := some(tcp.GetConnectTimeout()); d != nil {
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

// positive is the value, or nil for "as by default".
func positive(v uint32) *wrapperspb.UInt32Value {
	if v == 0 {
		return nil
	}
	return wrapperspb.UInt32(v)
}

// some is the duration, or nil where it is none: Envoy refuses 0 in most places.
func some(d *durationpb.Duration) *durationpb.Duration {
	if d.AsDuration() <= 0 {
		return nil
	}
	return d
}

// spoken is the protocol towards the servers; a rule may raise HTTP to HTTP/2.
func (t target) spoken() mesh.Protocol {
	upgrade := t.tuning.pool.GetHttp().GetH2UpgradePolicy() == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE
	if t.port.Protocol == mesh.HTTP && upgrade {
		return mesh.HTTP2
	}
	return t.port.Protocol
}

// speak sets the HTTP version towards the servers of an HTTP port.
func (t target) speak(c *clusterv3.Cluster) {
	if !t.port.Protocol.IsHTTP() {
		return
	}
	tcp, http := t.tuning.pool.GetTcp(), t.tuning.pool.GetHttp()
	options := &upstreamv3.HttpProtocolOptions{UpstreamProtocolOptions: explicit(t.spoken(), http)}
	idle, most, life := http.GetIdleTimeout(), http.GetMaxRequestsPerConnection(), some(tcp.GetMaxConnectionDuration())
	if idle != nil || most > 0 || life != nil {
		options.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{
			IdleTimeout: idle, MaxRequestsPerConnection: positive(uint32(most)), MaxConnectionDuration: life,
		}
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptions: packed(options)}
}

func explicit(p mesh.Protocol, http *networking.ConnectionPoolSettings_HTTPSettings) *upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_ {
	config := &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig{}
	if p == mesh.HTTP2 {
		config.ProtocolConfig = &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{MaxConcurrentStreams: positive(uint32(http.GetMaxConcurrentStreams()))},
		}
	} else {
		config.ProtocolConfig = &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}}
	}
	return &upstreamv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: config}
}
