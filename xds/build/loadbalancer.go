package build

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// balance sets how a cluster picks an endpoint: LEAST_REQUEST unless told, as in
// Istio. PASSTHROUGH, by which the client would choose the server's address and
// leave its name unchecked, is balanced as well.
func (t target) balance(c *clusterv3.Cluster) {
	lb := t.tuning.balancer
	switch lb.GetSimple() {
	case networking.LoadBalancerSettings_ROUND_ROBIN:
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	case networking.LoadBalancerSettings_RANDOM:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	default:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	}
	if t.headless() {
		byAddress(c) // the client has chosen
		return
	}
	if hash := lb.GetConsistentHash(); hash != nil {
		c.LoadBalancingPolicy = hashing(hash)
	}
}
