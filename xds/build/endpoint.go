package build

import "github.com/ensign-mesh/ensign/mesh"

// Endpoints are the load assignments of the host's clusters, one for each
// cluster that Clusters makes, with the same names and in the same order.
//
// It reads what Clusters reads and Endpoints[host].Ports.
func Endpoints(s *mesh.Snapshot, sc Scope, host string) []Resource { return nil }
