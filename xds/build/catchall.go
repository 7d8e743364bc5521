package build

import (
	"net/http"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/mesh"
)

// catchAll answers for the hosts that are no service, by Istio's names: allow_any
// lets them through as they are, block_all refuses them.
func catchAll(c *mesh.Config) *routev3.VirtualHost {
	name, route := "block_all", &routev3.Route{Action: &routev3.Route_DirectResponse{
		DirectResponse: &routev3.DirectResponseAction{Status: http.StatusBadGateway},
	}}
	if c.Passthrough {
		name, route = "allow_any", &routev3.Route{Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: passthroughCluster},
			Timeout:          durationpb.New(0), MaxGrpcTimeout: grpcTimeout(nil),
		}}}
	}
	route.Name = name
	route.Match = anyPath()
	return &routev3.VirtualHost{Name: name, Domains: []string{"*"}, Routes: []*routev3.Route{route}, IncludeRequestAttemptCount: c.Passthrough}
}

func anyPath() *routev3.RouteMatch {
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}
}
