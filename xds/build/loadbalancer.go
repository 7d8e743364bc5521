package build

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// balance sets how a cluster picks an endpoint: LEAST_REQUEST unless told, as in
// Istio. PASSTHROUGH, which would leave the choice of the server's address to
// the client and so its name unchecked, is balanced as well.
func balance(c *clusterv3.Cluster, lb *networking.LoadBalancerSettings) {
	c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	if lb.GetConsistentHash() != nil {
		c.LbPolicy = clusterv3.Cluster_RING_HASH
		if lb.GetConsistentHash().GetMaglev() != nil {
			c.LbPolicy = clusterv3.Cluster_MAGLEV
		}
	}
	switch lb.GetSimple() {
	case networking.LoadBalancerSettings_ROUND_ROBIN:
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	case networking.LoadBalancerSettings_RANDOM:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	}
}
