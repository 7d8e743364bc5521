package build

import (
	"slices"

	"github.com/ensign-mesh/ensign/mesh"
)

// routeOnlyPort is where hosts of VirtualServices that are no service are served.
const routeOnlyPort = 80

// routedAlone says whether a host that is no service is routed in the scope: a
// VirtualService with HTTP routes names it, and it is neither another's short
// name nor an address that counts as a service's in the scope.
func routedAlone(s *mesh.Snapshot, sc Scope, host string) bool {
	named := slices.ContainsFunc(s.Routes[host], func(r *mesh.VirtualService) bool { return reaches(r.ExportTo, sc.Namespace) })
	if !named || s.Services[host] != nil {
		return false
	}
	claimed := func(other string) bool { return mayOwn(sc, s.Services[other]) }
	if nameHolder(s, sc, host) != "" || slices.ContainsFunc(addressed(s, host), claimed) {
		return false
	}
	return len(routesOf(s, sc, host, routeOnlyPort)) > 0
}

// hostsAlone are the hosts, in no order, that are routed in the scope and are no service.
func hostsAlone(s *mesh.Snapshot, sc Scope) []string {
	var out []string
	for host := range s.Routes {
		if routedAlone(s, sc, host) {
			out = append(out, host)
		}
	}
	return out
}
