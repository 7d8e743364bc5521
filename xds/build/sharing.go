package build

import (
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/ensign-mesh/ensign/mesh"
)

// given are the names and addresses that a service leaves to others in the
// scope; see [domains].
func given(s *mesh.Snapshot, sc Scope, svc *mesh.Service) []string {
	var out []string
	if nameHolder(s, sc, svc.Host) != "" {
		out = append(out, svc.Host)
	}
	for _, address := range svc.Addresses {
		for _, p := range svc.Ports {
			if owner(s, sc, address, p.Number) != svc {
				out = append(out, address+" "+routeName(p.Number))
			}
		}
	}
	return out
}

// Affects are the other hosts whose VirtualHosts read the service of this host:
// those routed to it, those that are called like its short names, those whose addresses it shares. When the
// service changes these are built again too; ask both the old snapshot and the new.
func Affects(s *mesh.Snapshot, host string) []string {
	found := mesh.Set[string]{}
	for pattern, list := range s.Routes {
		if slices.ContainsFunc(list, func(r *mesh.VirtualService) bool { return routesTo(r.Spec, host) }) {
			covered(s, pattern, found)
		}
	}
	if svc := s.Services[host]; svc != nil {
		for _, address := range svc.Addresses {
			found.Add(address) // a host may be called like it
			for _, other := range addressed(s, address) {
				found.Add(other)
			}
		}
	}
	for _, name := range allShortNames(s, host) {
		found.Add(name) // a host may be called like it
	}
	delete(found, host)
	return slices.Sorted(maps.Keys(found))
}

// covered adds the hosts that the pattern of a route speaks for.
func covered(s *mesh.Snapshot, pattern string, found mesh.Set[string]) {
	found.Add(pattern)
	if !strings.HasPrefix(pattern, "*") {
		return
	}
	for host := range s.Services {
		if Covers(pattern, host) {
			found.Add(host)
		}
	}
}

// routesTo says whether a route leads to a host.
func routesTo(spec *networking.VirtualService, host string) bool {
	to := func(d *networking.Destination) bool { return d.GetHost() == host }
	for _, r := range spec.GetHttp() {
		if to(r.GetMirror()) ||
			slices.ContainsFunc(r.GetRoute(), func(d *networking.HTTPRouteDestination) bool { return to(d.GetDestination()) }) ||
			slices.ContainsFunc(r.GetMirrors(), func(m *networking.HTTPMirrorPolicy) bool { return to(m.GetDestination()) }) {
			return true
		}
	}
	return slices.ContainsFunc(spec.GetTcp(), func(r *networking.TCPRoute) bool {
		return slices.ContainsFunc(r.GetRoute(), func(d *networking.RouteDestination) bool { return to(d.GetDestination()) })
	})
}
