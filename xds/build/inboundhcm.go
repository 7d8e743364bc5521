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
)

// Nothing in Envoy ends a live connection when its certificate expires, so every
// mTLS connection has an end of its own. How long one may outlive the
// certificate that opened it:
//
//   - TCP: connectionLife, less up to lifeJitter.
//   - HTTP: connectionLife (and its jitter) until the connection is drained, and
//     streamLife more for a request that began just before.
//
// So a connection opened in the last second of a certificate is gone an hour
// (HTTP streams: two) later: 4 to 8 % of a life of 24 h. With certificates of an
// hour or of five minutes it is one more life or many: there the expiry does not
// cut anybody off in time, and an authorization policy, which takes effect with
// the next request, must.
const (
	connectionLife = time.Hour
	streamLife     = time.Hour
	lifeJitter     = 10 // percent, so that what began together does not end together
)

// inboundHTTP serves requests to one port.
func inboundHTTP(t inboundTarget, mutual bool) *listenerv3.Filter {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix:     "inbound_" + listenerName(anyAddress, t.port),
		CodecType:      hcmv3.HttpConnectionManager_AUTO,
		ServerName:     "istio-envoy",
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: inboundRoute(t)},
		HttpFilters: []*hcmv3.HttpFilter{
			discoveredHTTP(rbacHTTPDeny), discoveredHTTP(rbacHTTPAllow),
			{Name: routerFilter, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&routerv3.Router{})}},
		},
		UpgradeConfigs:   []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		UseRemoteAddress: wrapperspb.Bool(false),
		// Istio's default (BASE). Policies compare the normal form of a path.
		NormalizePath: wrapperspb.Bool(true),
		// What a client without a certificate says of its identity is a forgery.
		ForwardClientCertDetails: hcmv3.HttpConnectionManager_SANITIZE,
	}
	if mutual {
		m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_APPEND_FORWARD
		m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: wrapperspb.Bool(true), Dns: true, Uri: true,
		}
		m.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{
			MaxConnectionDuration:       durationpb.New(connectionLife),
			MaxConnectionDurationJitter: &typev3.Percent{Value: lifeJitter},
			MaxStreamDuration:           durationpb.New(streamLife),
		}
	}
	return networkFilter(hcmFilter, m)
}

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
				}},
			}},
		}},
	}
}

// inboundTCP serves the connections to one port, or to all others.
func inboundTCP(t inboundTarget, mutual bool) []*listenerv3.Filter {
	m := &tcpv3.TcpProxy{StatPrefix: t.cluster, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: t.cluster}}
	if mutual {
		m.MaxDownstreamConnectionDuration = durationpb.New(connectionLife)
		m.MaxDownstreamConnectionDurationJitterPercentage = &typev3.Percent{Value: lifeJitter}
	}
	return []*listenerv3.Filter{
		discoveredTCP(rbacTCPDeny), discoveredTCP(rbacTCPAllow), networkFilter(tcpFilter, m),
	}
}
