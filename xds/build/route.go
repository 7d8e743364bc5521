package build

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/ensign-mesh/ensign/mesh"
)

// routesOf are the routes of a host on one port: those of the VirtualService in
// force, else the one to the service itself. A VirtualService that has no route
// for this port and scope leaves a service as it is.
func routesOf(s *mesh.Snapshot, sc Scope, host string, port uint32) []*routev3.Route {
	var out []*routev3.Route
	if vs := routeFor(s, sc, host); vs != nil {
		for _, r := range vs.Spec.GetHttp() {
			matches, all := matchesOf(r, sc, port)
			for _, m := range matches {
				if route := (routing{s, r, port}).route(m); route != nil {
					out = append(out, route)
				}
			}
			if all {
				break // nothing behind it can be reached
			}
		}
	}
	if len(out) == 0 && s.Services[host] != nil {
		return []*routev3.Route{defaultRoute(host, port)}
	}
	return out
}

// matchesOf are the matches of a route that may hold on this port in this scope;
// all: one of them holds for every request. Labels of the client's pod
// (sourceLabels) are not the same in a whole scope: a match by them never holds.
func matchesOf(r *networking.HTTPRoute, sc Scope, port uint32) (matches []*networking.HTTPMatchRequest, all bool) {
	if len(r.GetMatch()) == 0 {
		return []*networking.HTTPMatchRequest{nil}, true
	}
	for _, m := range r.GetMatch() {
		if (m.GetPort() == 0 || m.GetPort() == port) && len(m.GetSourceLabels()) == 0 &&
			(m.GetSourceNamespace() == "" || m.GetSourceNamespace() == sc.Namespace) {
			matches = append(matches, m)
			all = all || matchesAll(m)
		}
	}
	return matches, all
}

// readsNamespace says whether a VirtualService looks at the client's namespace.
func readsNamespace(vs *mesh.VirtualService) bool {
	return slices.ContainsFunc(vs.Spec.GetHttp(), func(r *networking.HTTPRoute) bool {
		return slices.ContainsFunc(r.GetMatch(), func(m *networking.HTTPMatchRequest) bool { return m.GetSourceNamespace() != "" })
	})
}

// routing turns one HTTP route of a VirtualService into Envoy's, one a match.
type routing struct {
	s    *mesh.Snapshot
	in   *networking.HTTPRoute
	port uint32 // of the listener
}

// route is nil for a match that Envoy would refuse, and with it all routes of the
// port: it never holds.
func (r routing) route(m *networking.HTTPMatchRequest) *routev3.Route {
	out := &routev3.Route{Name: r.in.GetName(), Match: match(m)}
	if out.Match.Validate() != nil {
		return nil
	}
	if m.GetName() != "" {
		out.Name += "." + m.GetName()
	}
	switch {
	case r.in.GetRedirect() != nil:
		out.Action = &routev3.Route_Redirect{Redirect: redirect(r.in.GetRedirect())}
	case r.in.GetDirectResponse() != nil:
		out.Action = &routev3.Route_DirectResponse{DirectResponse: directResponse(r.in.GetDirectResponse())}
	case len(r.in.GetRoute()) > 0:
		r.forward(out)
	default: // a delegate, which is not supported: who asks is told
		out.Action = &routev3.Route_DirectResponse{DirectResponse: unavailable("the route is delegated, which is not supported")}
	}
	changeHeaders(out, r.in.GetHeaders())
	addFault(out, r.in.GetFault())
	if out.Validate() != nil { // or Envoy would refuse all routes of the port
		return &routev3.Route{Name: out.Name, Match: out.Match, Action: &routev3.Route_DirectResponse{
			DirectResponse: unavailable("the route holds a value that Envoy does not take"),
		}}
	}
	return out
}

// defaultRoute sends everything to the service that was called.
func defaultRoute(host string, port uint32) *routev3.Route {
	return &routev3.Route{
		Name: "default", Match: anyPath(),
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: clusterName(port, "", host)},
			Timeout:          durationpb.New(0),
			MaxGrpcTimeout:   grpcTimeout(nil),
			RetryPolicy:      retries(nil),
		}},
	}
}
