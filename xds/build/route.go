package build

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/mesh"
)

// routesOf are the routes of a host on one port: those of the VirtualService in
// force, else the one to the service itself.
func routesOf(s *mesh.Snapshot, sc Scope, host string, port uint32) []*routev3.Route {
	return []*routev3.Route{defaultRoute(host, port)}
}

// readsNamespace says whether a route looks at the client's namespace.
func readsNamespace(r *mesh.VirtualService) bool { return false }

// routedAlone says whether a host that is no service is routed in the scope: a
// VirtualService names it, and no service is called so for short.
func routedAlone(s *mesh.Snapshot, sc Scope, host string) bool { return false }

// defaultRoute sends everything to the service that was called.
func defaultRoute(host string, port uint32) *routev3.Route {
	return &routev3.Route{
		Name: "default", Match: anyPath(),
		Decorator: &routev3.Decorator{Operation: withPort(host, port) + "/*"},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: clusterName(port, "", host)},
			Timeout:          durationpb.New(0),
			RetryPolicy:      retries(nil),
			MaxStreamDuration: &routev3.RouteAction_MaxStreamDuration{
				MaxStreamDuration: durationpb.New(0), GrpcTimeoutHeaderMax: durationpb.New(0),
			},
		}},
	}
}
