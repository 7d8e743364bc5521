package build

import (
	networking "istio.io/api/networking/v1alpha3"

	"github.com/ensign-mesh/ensign/mesh"
)

// destinationCluster is the cluster of a route's destination. Without a port it
// is the only one of the destination's service, else the port of the listener. A
// host or subset that does not exist is a cluster that does not exist: Envoy
// answers 503 on this route alone.
func destinationCluster(s *mesh.Snapshot, d *networking.Destination, listening uint32) string {
	port := d.GetPort().GetNumber()
	if svc := s.Services[d.GetHost()]; port == 0 && svc != nil && len(svc.Ports) == 1 {
		port = svc.Ports[0].Number
	}
	if port == 0 {
		port = listening
	}
	return clusterName(port, d.GetSubset(), d.GetHost())
}
