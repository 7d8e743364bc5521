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
	// Taken are the names and addresses that the service leaves to others in the
	// scope; "" for none.
	Taken string
	// VHDS is the scope's.
	VHDS bool
}

// Visible is the host's Visibility in the scope.
func Visible(s *mesh.Snapshot, sc Scope, host string) Visibility {
	v := Visibility{VHDS: sc.VHDS}
	svc := s.Services[host]
	if svc != nil {
		if v.Service = reaches(svc.ExportTo, sc.Namespace); !v.Service {
			return v // nothing is built
		}
		v.Rules = keys(rulingFor(s, sc, svc).origins)
		v.Taken = strings.Join(given(s, sc, svc), ",")
	}
	route := routeFor(s, sc, host)
	if route != nil && (svc != nil || routedAlone(s, sc, host)) {
		v.Route = route.Ref.Key.String()
	}
	_, namespace, ok := clusterLocal(s, host)
	if ok && namespace == sc.Namespace || route != nil && readsNamespace(route) {
		v.Namespace = sc.Namespace
	}
	return v
}

// keys are the names of objects, in their order.
func keys(refs []mesh.Ref) string {
	var list []string
	for _, ref := range refs {
		list = append(list, ref.Key.String())
	}
	return strings.Join(list, ",")
}

// Covers says whether a host of a VirtualService or DestinationRule ("*",
// "*.suffix" or a name) speaks for the given host.
func Covers(pattern, host string) bool {
	if !strings.HasPrefix(pattern, "*") {
		return pattern == host
	}
	return strings.HasSuffix(host, pattern[1:]) && len(host) >= len(pattern)
}
