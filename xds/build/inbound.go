package build

import "github.com/ensign-mesh/ensign/mesh"

// Inbound is the inbound side of one workload group: the listener
// virtualInbound (15006), the clusters inbound|PORT|| and
// InboundPassthroughCluster, and the RBAC filters as ECDS resources. in == nil
// is a pod that the mesh does not know: everything is denied.
//
// It reads *in, TrustDomain and Config.
func Inbound(s *mesh.Snapshot, in *mesh.Inbound) []Resource { return nil }
