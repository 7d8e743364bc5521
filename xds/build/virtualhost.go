package build

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/ensign-mesh/ensign/mesh"
)

// VirtualHosts are the VHDS resources of one host, ROUTE/HOST:PORT, one for each
// HTTP port; nil when !sc.VHDS (Port then holds them inline). The host may be
// one of Routes that is no service (or "*.suffix"): it is served on port 80, as in Istio.
//
// It reads Services[host], the Routes that cover the host (see [Covers]) and,
// of other hosts, what [Affects] says.
func VirtualHosts(s *mesh.Snapshot, sc Scope, host string) []Resource {
	if !sc.VHDS {
		return nil
	}
	var out []Resource
	for _, port := range httpPorts(s, sc, host) {
		vh := virtualHostOf(s, sc, host, port)
		if len(vh.Domains) == 0 {
			continue // all are others'
		}
		vh.Name = routeName(port) + "/" + vh.Name // what VHDS knows it by
		out = append(out, Resource{
			TypeURL: TypeVirtualHost, Name: vh.Name, Message: vh, Origins: routeOrigins(s, sc, host),
		})
	}
	return out
}

// httpPorts are the ports on which a host has a virtual host in the scope.
func httpPorts(s *mesh.Snapshot, sc Scope, host string) []uint32 {
	if s.Services[host] == nil {
		if routedAlone(s, sc, host) {
			return []uint32{routeOnlyPort}
		}
		return nil
	}
	svc := serviceIn(s, sc, host)
	if svc == nil {
		return nil
	}
	var out []uint32
	for _, p := range svc.Ports {
		if p.Protocol.IsHTTP() && !mesh.Reserved(p.Number) {
			out = append(out, p.Number)
		}
	}
	return out
}

// virtualHostOf is the virtual host of a host on one port, by Istio's name.
func virtualHostOf(s *mesh.Snapshot, sc Scope, host string, port uint32) *routev3.VirtualHost {
	vh := &routev3.VirtualHost{
		Name:                       host + ":" + routeName(port),
		IncludeRequestAttemptCount: true,
		Routes:                     routesOf(s, sc, host, port),
	}
	if svc := s.Services[host]; svc != nil {
		vh.Domains = domains(s, sc, svc, port)
	} else {
		vh.Domains = []string{bracketed(host)}
	}
	return vh
}

// routeOrigins are the objects that shape a host's virtual hosts.
func routeOrigins(s *mesh.Snapshot, sc Scope, host string) []mesh.Ref {
	var out []mesh.Ref
	if r := routeFor(s, sc, host); r != nil {
		out = append(out, r.Ref)
	}
	if svc := s.Services[host]; svc != nil {
		out = append(out, svc.Ref)
	}
	return out
}
