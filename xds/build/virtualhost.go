package build

import "github.com/ensign-mesh/ensign/mesh"

// VirtualHosts are the VHDS resources of one host, ROUTE/HOST:PORT, one for each
// HTTP port; nil when !sc.VHDS (Port then holds them inline). The host may be
// one of Routes that is no service (or "*.suffix"): it is served on port 80, as in Istio.
//
// It reads Services[host], the Routes that cover the host (see [Covers]) and,
// of other hosts, what [Affects] says.
func VirtualHosts(s *mesh.Snapshot, sc Scope, host string) []Resource { return nil }
