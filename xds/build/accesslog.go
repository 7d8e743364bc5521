package build

import (
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	grpclogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tracingv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Envoy tells the agent beside it whose its mTLS connections are, so that the
// agent (internal/connections) can end those of one peer. It is told in records of
// the access log service: when a connection or request begins, and again while it
// lives, for an agent that was restarted.
const (
	logCluster  = "als-grpc" // in the agent's bootstrap
	logFlush    = 50 * time.Millisecond
	logInterval = 10 * time.Second
	// silentInterval is that of chains where nothing is said of a connection before
	// its client speaks but the records of what lives; see [SilentPorts].
	silentInterval = time.Second
)

// The names of the logs: which side of which protocol a record is of.
const (
	logInboundHTTP  = "inbound-http"
	logInboundTCP   = "inbound-tcp"
	logOutboundHTTP = "outbound-http"
	logOutboundTCP  = "outbound-tcp"
)

// clientTags tell who a client is and serverTags who a server is, and which
// socket of Envoy's, not the one of the same addresses before it, leads to it. The
// other addresses are in every record.
var (
	clientTags = []*tracingv3.CustomTag{
		tag("conn", "%CONNECTION_ID%"), tag("local", "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%"),
		tag("peer_uri", "%DOWNSTREAM_PEER_URI_SAN%"), tag("peer_issuer", "%DOWNSTREAM_PEER_ISSUER%"),
		tag("peer_fp", "%DOWNSTREAM_PEER_FINGERPRINT_256%"), tag("peer_serial", "%DOWNSTREAM_PEER_SERIAL%"),
		tag("peer_start", "%DOWNSTREAM_PEER_CERT_V_START%"), tag("peer_end", "%DOWNSTREAM_PEER_CERT_V_END%"),
	}
	serverTags = []*tracingv3.CustomTag{
		tag("conn", "%UPSTREAM_CONNECTION_ID%"),
		tag("peer_uri", "%UPSTREAM_PEER_URI_SAN%"), tag("peer_issuer", "%UPSTREAM_PEER_ISSUER%"),
		tag("peer_fp", "%CEL(upstream.sha256_peer_certificate_digest)%"), // there is no UPSTREAM_PEER_FINGERPRINT_256
		tag("peer_start", "%UPSTREAM_PEER_CERT_V_START%"), tag("peer_end", "%UPSTREAM_PEER_CERT_V_END%"),
	}
)

func tag(name, format string) *tracingv3.CustomTag {
	return &tracingv3.CustomTag{Tag: name, Type: &tracingv3.CustomTag_Value{Value: format}}
}

// httpLog and tcpLog are one log of records of these types.
func httpLog(name string, tags []*tracingv3.CustomTag, types ...datav3.AccessLogType) []*accesslogv3.AccessLog {
	return accessLog("envoy.access_loggers.http_grpc", &grpclogv3.HttpGrpcAccessLogConfig{CommonConfig: toAgent(name, tags)}, types)
}

func tcpLog(name string, tags []*tracingv3.CustomTag, types ...datav3.AccessLogType) []*accesslogv3.AccessLog {
	return accessLog("envoy.access_loggers.tcp_grpc", &grpclogv3.TcpGrpcAccessLogConfig{CommonConfig: toAgent(name, tags)}, types)
}

func accessLog(logger string, config proto.Message, types []datav3.AccessLogType) []*accesslogv3.AccessLog {
	return []*accesslogv3.AccessLog{{
		Name:       logger,
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: packed(config)},
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_LogTypeFilter{
			LogTypeFilter: &accesslogv3.LogTypeFilter{Types: types},
		}},
	}}
}

func toAgent(name string, tags []*tracingv3.CustomTag) *grpclogv3.CommonGrpcAccessLogConfig {
	return &grpclogv3.CommonGrpcAccessLogConfig{
		LogName: name,
		GrpcService: &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
			EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: logCluster},
		}},
		TransportApiVersion: corev3.ApiVersion_V3,
		BufferFlushInterval: durationpb.New(logFlush),
		CustomTags:          tags,
	}
}

// logClients records the clients of a connection manager.
func logClients(m *hcmv3.HttpConnectionManager) {
	m.AccessLog = httpLog(logInboundHTTP, clientTags, datav3.AccessLogType_DownstreamStart, datav3.AccessLogType_DownstreamPeriodic)
	m.AccessLogOptions = &hcmv3.HttpConnectionManager_HcmAccessLogOptions{
		FlushAccessLogOnNewRequest: true, AccessLogFlushInterval: durationpb.New(logInterval),
	}
}

// logTCP records the connections of a TCP proxy, and their ends.
func logTCP(m *tcpv3.TcpProxy, name string, tags []*tracingv3.CustomTag, interval time.Duration) {
	m.AccessLog = tcpLog(name, tags, datav3.AccessLogType_TcpUpstreamConnected, datav3.AccessLogType_TcpPeriodic, datav3.AccessLogType_TcpConnectionEnd)
	m.AccessLogOptions = &tcpv3.TcpProxy_TcpAccessLogOptions{
		FlushAccessLogOnConnected: true, AccessLogFlushInterval: durationpb.New(interval),
	}
}
