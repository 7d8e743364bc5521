package build

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	hcmFilter    = "envoy.filters.network.http_connection_manager"
	routerFilter = "envoy.filters.http.router"
)

// outboundHTTP is the connection manager of a port's HTTP listener. Its routes
// come by RDS under the port's number.
func outboundHTTP(port uint32) *listenerv3.Filter {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: "outbound_" + listenerName(anyAddress, port),
		CodecType:  hcmv3.HttpConnectionManager_AUTO,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource: adsSource(), RouteConfigName: routeName(port),
		}},
		HttpFilters: []*hcmv3.HttpFilter{
			{Name: faultFilter, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&faultv3.HTTPFault{})}},
			{Name: routerFilter, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(outboundRouter())}},
		},
		UpgradeConfigs:       []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		StripTrailingHostDot: true, // "a.example." is "a.example"
		UseRemoteAddress:     wrapperspb.Bool(false),
		NormalizePath:        wrapperspb.Bool(true),
		StreamIdleTimeout:    durationpb.New(0), // long polls and streams are the application's business
	}
	return &listenerv3.Filter{Name: hcmFilter, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(m)}}
}

// outboundRouter records the servers of requests, as soon as a connection to one
// has been found.
func outboundRouter() *routerv3.Router {
	return &routerv3.Router{
		UpstreamLog: httpLog(logOutboundHTTP, serverTags, datav3.AccessLogType_UpstreamPoolReady, datav3.AccessLogType_UpstreamPeriodic),
		UpstreamLogOptions: &routerv3.Router_UpstreamAccessLogOptions{
			FlushUpstreamLogOnUpstreamStream: true, UpstreamLogFlushInterval: durationpb.New(logInterval),
		},
	}
}
