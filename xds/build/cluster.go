package build

import "github.com/ensign-mesh/ensign/mesh"

// Clusters are the outbound clusters of one host, outbound|PORT|SUBSET|HOST: one
// for each port and one more for each subset of it; nil when the host is no
// service or the scope must not see it.
//
// It reads Services[host], Endpoints[host].Accounts, the DestinationRules that
// cover the host (see [Covers]) and Config.
func Clusters(s *mesh.Snapshot, sc Scope, host string) []Resource { return nil }

// Widen is the same cluster accepting also the SPIFFE IDs in ids: the first
// step of make-before-break. A cluster without mTLS is returned unchanged.
func Widen(cluster Resource, ids []string) Resource { return cluster }
