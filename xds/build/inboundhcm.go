package build

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/mesh"
)

// longestConnection bounds a connection when SVIDs live for a day or are of
// unknown life; shortestConnection when they live for less than about a minute.
const (
	longestConnection  = time.Hour
	shortestConnection = 5 * time.Second
	lifeJitter         = 10 // percent more, so that what began together does not end together
)

// connectionLife is how long an mTLS connection may last. Nothing in Envoy ends a
// live connection when its certificate expires, so every one has an end of its
// own, in proportion to the SVIDs' life. One may outlive the certificate that
// opened it
//
//   - as TCP: by an eighth of the SVIDs' life and a tenth of that: 66 minutes at
//     a life of 24 h (the most), 8 minutes at 1 h, 41 seconds at 5 minutes;
//   - as HTTP: by as much until it is drained, and once more for a request that
//     began just before.
func connectionLife(s *mesh.Snapshot) time.Duration {
	if s.SVIDLife == 0 {
		return longestConnection
	}
	return min(max(s.SVIDLife/8, shortestConnection), longestConnection)
}

// inboundHTTP serves requests to one port.
func inboundHTTP(t inboundTarget, mutual bool) *listenerv3.Filter {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix:     "inbound_" + listenerName(anyAddress, t.port),
		CodecType:      hcmv3.HttpConnectionManager_AUTO,
		ServerName:     "istio-envoy",
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: inboundRoute(t)},
		HttpFilters: []*hcmv3.HttpFilter{
			discoveredHTTP(RevokedHTTP), discoveredHTTP(rbacHTTPDeny), discoveredHTTP(rbacHTTPAllow),
			{Name: routerFilter, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&routerv3.Router{})}},
		},
		UpgradeConfigs:   []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		UseRemoteAddress: wrapperspb.Bool(false),
		// Istio's default (BASE). Policies compare the normal form of a path, which is
		// what the application gets.
		NormalizePath:                wrapperspb.Bool(true),
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_KEEP_UNCHANGED,
		// A quiet stream is no dead one: Envoy would end it after five minutes.
		StreamIdleTimeout: durationpb.New(0),
		// What a client without a certificate says of its identity is a forgery.
		ForwardClientCertDetails: hcmv3.HttpConnectionManager_SANITIZE,
	}
	if mutual {
		// The peer's own certificate alone. Istio's sidecars append to what the peer
		// sent (APPEND_FORWARD), so that a client writes the first elements itself.
		m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
		m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: wrapperspb.Bool(true), Dns: true, Uri: true,
		}
		m.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{
			MaxConnectionDuration:       durationpb.New(t.life),
			MaxConnectionDurationJitter: &typev3.Percent{Value: lifeJitter},
			MaxStreamDuration:           durationpb.New(t.life),
		}
		logClients(m)
	}
	return networkFilter(hcmFilter, m)
}

// inboundRoute leads every request to the application. It sets no limit on how
// long one takes: that would override the connection manager's. What the
// application cannot have seen, on a connection that it was just closing, is
// sent again.
func inboundRoute(t inboundTarget) *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name:             t.cluster,
		ValidateClusters: wrapperspb.Bool(false),
		VirtualHosts: []*routev3.VirtualHost{{
			Name: "inbound|http|" + routeName(t.servicePort), Domains: []string{"*"},
			Routes: []*routev3.Route{{
				Name: "default", Match: anyPath(),
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: t.cluster},
					Timeout:          durationpb.New(0),
					RetryPolicy:      &routev3.RetryPolicy{RetryOn: "reset-before-request", NumRetries: wrapperspb.UInt32(2)},
				}},
			}},
		}},
	}
}

// inboundTCP serves the connections to one port, or to all others. With mTLS the
// application hears of a client only when that has proven who it is; where
// policies may refuse it, only with its first byte or its end, which is when
// Envoy asks them: a server that speaks first would be heard before.
func inboundTCP(t inboundTarget, mutual bool) []*listenerv3.Filter {
	m := &tcpv3.TcpProxy{StatPrefix: t.cluster, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: t.cluster}}
	if mutual {
		m.MaxDownstreamConnectionDuration = durationpb.New(t.life)
		m.MaxDownstreamConnectionDurationJitterPercentage = &typev3.Percent{Value: lifeJitter}
		m.UpstreamConnectMode = tcpv3.UpstreamConnectMode_ON_DOWNSTREAM_TLS_HANDSHAKE
		logTCP(m, logInboundTCP, clientTags, t.logInterval())
	}
	if t.guarded {
		m.UpstreamConnectMode = tcpv3.UpstreamConnectMode_ON_DOWNSTREAM_DATA
	}
	if mutual || t.guarded {
		m.MaxEarlyDataBytes = wrapperspb.UInt32(0) // Envoy wants it with those modes
	}
	return []*listenerv3.Filter{
		discoveredTCP(RevokedTCP), discoveredTCP(rbacTCPDeny), discoveredTCP(rbacTCPAllow), networkFilter(tcpFilter, m),
	}
}
