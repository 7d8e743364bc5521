package build

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"
)

// forward makes the route send requests on to its destinations.
func (r routing) forward(out *routev3.Route) {
	action := &routev3.RouteAction{Timeout: durationpb.New(0), RetryPolicy: retries(r.in.GetRetries())}
	if r.in.GetTimeout() != nil {
		action.Timeout = r.in.GetTimeout()
	}
	action.MaxGrpcTimeout = grpcTimeout(r.in.GetTimeout())
	r.mirror(action)
	rewrite(action, r.in.GetRewrite())
	if host := hostHeader(r.in.GetHeaders()); host != "" {
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: host}
	}
	out.Action = &routev3.Route_Route{Route: action}
	switch dests := weighted(r.in.GetRoute()); len(dests) {
	case 0:
		out.Action = &routev3.Route_DirectResponse{DirectResponse: unavailable("no destination has a weight")}
	case 1:
		action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: destinationCluster(r.s, dests[0].GetDestination(), r.port)}
		changeHeaders(out, dests[0].GetHeaders())
	default:
		action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: r.split(dests)}
	}
}

// weighted drops the destinations that get nothing. A single one gets everything.
func weighted(dests []*networking.HTTPRouteDestination) []*networking.HTTPRouteDestination {
	if len(dests) == 1 {
		return dests
	}
	var out []*networking.HTTPRouteDestination
	for _, d := range dests {
		if d.GetWeight() > 0 {
			out = append(out, d)
		}
	}
	return out
}

func (r routing) split(dests []*networking.HTTPRouteDestination) *routev3.WeightedCluster {
	out := &routev3.WeightedCluster{}
	for _, d := range dests {
		c := &routev3.WeightedCluster_ClusterWeight{
			Name: destinationCluster(r.s, d.GetDestination(), r.port), Weight: wrapperspb.UInt32(uint32(d.GetWeight())),
		}
		changeHeaders(c, d.GetHeaders())
		if host := hostHeader(d.GetHeaders()); host != "" {
			c.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: host}
		}
		out.Clusters = append(out.Clusters, c)
	}
	return out
}

// grpcTimeout honours a gRPC client's own timeout, up to the route's; nil: without
// limit. It goes into the older field, max_grpc_timeout: a route that carries the
// newer max_stream_duration makes Envoy ignore the route's timeout altogether.
func grpcTimeout(limit *durationpb.Duration) *durationpb.Duration {
	if limit == nil {
		return durationpb.New(0)
	}
	return limit
}

// mirror copies requests to others, whose answers are dropped.
func (r routing) mirror(action *routev3.RouteAction) {
	add := func(d *networking.Destination, share *networking.Percent) {
		p := &routev3.RouteAction_RequestMirrorPolicy{Cluster: destinationCluster(r.s, d, r.port)}
		if share != nil {
			p.RuntimeFraction = runtimeShare(share)
		}
		action.RequestMirrorPolicies = append(action.RequestMirrorPolicies, p)
	}
	for _, m := range r.in.GetMirrors() {
		add(m.GetDestination(), m.GetPercentage())
	}
	if m := r.in.GetMirror(); m != nil {
		add(m, r.in.GetMirrorPercentage())
	}
}

// rewrite changes path and host before the request goes on.
func rewrite(action *routev3.RouteAction, in *networking.HTTPRewrite) {
	if re := in.GetUriRegexRewrite(); re != nil {
		action.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{Pattern: regexMatch(re.GetMatch()), Substitution: re.GetRewrite()}
	} else {
		action.PrefixRewrite = in.GetUri()
	}
	if in.GetAuthority() != "" {
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: in.GetAuthority()}
	}
}
