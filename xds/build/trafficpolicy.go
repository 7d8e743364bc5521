package build

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/ensign-mesh/ensign/mesh"
)

// ruling is what the DestinationRules in force add up to.
type ruling struct {
	policy  *networking.TrafficPolicy // of the first that has one; may be nil
	subsets []*networking.Subset      // the first of a name wins
	origins []mesh.Ref
}

// rulingFor adds up the DestinationRules in force for a service.
func rulingFor(s *mesh.Snapshot, sc Scope, svc *mesh.Service) ruling {
	var out ruling
	seen := map[string]bool{}
	for _, r := range rulesFor(s, sc, svc) {
		if out.policy == nil {
			out.policy = r.Spec.GetTrafficPolicy()
		}
		for _, sub := range r.Spec.GetSubsets() {
			if !seen[sub.GetName()] {
				seen[sub.GetName()] = true
				out.subsets = append(out.subsets, sub)
			}
		}
		out.origins = append(out.origins, r.Ref)
	}
	return out
}

// tuning is the policy of one cluster with everything inherited resolved; nil
// parts are defaults.
type tuning struct {
	balancer *networking.LoadBalancerSettings
	pool     *networking.ConnectionPoolSettings
	outlier  *networking.OutlierDetection
	tls      *networking.ClientTLSSettings
}

// tune resolves the policy of a port, for a subset's own policy over the rule's.
func (r ruling) tune(port uint32, subset *networking.Subset) tuning {
	return tuning{}.with(r.policy, port).with(subset.GetTrafficPolicy(), port)
}

// with lays a policy over what is there. A policy's settings for a port replace
// everything: as in Istio, what they leave out is the default, not inherited.
func (t tuning) with(p *networking.TrafficPolicy, port uint32) tuning {
	for _, own := range p.GetPortLevelSettings() {
		if own.GetPort().GetNumber() == port {
			return tuning{own.GetLoadBalancer(), own.GetConnectionPool(), own.GetOutlierDetection(), own.GetTls()}
		}
	}
	if v := p.GetLoadBalancer(); v != nil {
		t.balancer = v
	}
	if v := p.GetConnectionPool(); v != nil {
		t.pool = v
	}
	if v := p.GetOutlierDetection(); v != nil {
		t.outlier = v
	}
	if v := p.GetTls(); v != nil {
		t.tls = v
	}
	return t
}
