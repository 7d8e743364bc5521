package build

import "github.com/ensign-mesh/ensign/mesh"

// Base is what every sidecar of the scope has, whatever the services: the
// listener virtualOutbound (15001) and the clusters PassthroughCluster and
// BlackHoleCluster. It reads Config.
func Base(s *mesh.Snapshot, sc Scope) []Resource { return nil }
