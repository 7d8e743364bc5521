package build

import (
	"strings"

	"github.com/ensign-mesh/ensign/mesh"
)

// Visibility is what the resources of one host take from the scope. It is
// comparable: two scopes with an equal Visibility of a host, in one snapshot,
// get equal Clusters, Endpoints and VirtualHosts for it, so that these are built
// and encoded once.
type Visibility struct {
	// Service: the scope sees the service.
	Service bool
	// Rules names the DestinationRules in force, in order; "" for none.
	Rules string
	// Route names the VirtualService in force; "" for none.
	Route string
	// Namespace is the scope's own where its name shapes the resources: short
	// host names in the service's own namespace, sourceNamespace in routes. Else "".
	Namespace string
	// VHDS is the scope's.
	VHDS bool
}

// Visible is the host's Visibility in the scope.
func Visible(s *mesh.Snapshot, sc Scope, host string) Visibility { return Visibility{} }

// Affects are the other hosts whose VirtualHosts read the service of this host:
// those routed to it, those whose short names or addresses it shares. When the
// service changes these are built again too; ask both the old snapshot and the new.
func Affects(s *mesh.Snapshot, host string) []string { return nil }

// Covers says whether a host of a VirtualService or DestinationRule ("*",
// "*.suffix" or a name) speaks for the given host.
func Covers(pattern, host string) bool {
	if !strings.HasPrefix(pattern, "*") {
		return pattern == host
	}
	return strings.HasSuffix(host, pattern[1:]) && len(host) >= len(pattern)
}
