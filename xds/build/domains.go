package build

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ensign-mesh/ensign/mesh"
)

// clusterLocal reads NAME.NAMESPACE.svc.CLUSTER-DOMAIN; false for other hosts.
func clusterLocal(s *mesh.Snapshot, host string) (name, namespace string, ok bool) {
	rest, ok := strings.CutSuffix(host, ".svc."+s.Config.ClusterDomain)
	if !ok {
		return "", "", false
	}
	name, namespace, ok = strings.Cut(rest, ".")
	return name, namespace, ok && name != "" && !strings.Contains(namespace, ".")
}

// allShortNames are the names by which clients may also call a service of the
// cluster's domain, as a resolver would complete them. Nil for other hosts.
func allShortNames(s *mesh.Snapshot, host string) []string {
	name, namespace, ok := clusterLocal(s, host)
	if !ok {
		return nil
	}
	return []string{name + "." + namespace + ".svc", name + "." + namespace, name}
}

// shortNames are those that hold in the scope: the bare name means a service of
// the client's own namespace.
func shortNames(s *mesh.Snapshot, sc Scope, host string) []string {
	names := allShortNames(s, host)
	if _, namespace, ok := clusterLocal(s, host); ok && namespace != sc.Namespace {
		names = names[:2]
	}
	return names
}

// domains are what a virtual host of a service answers to on one port, each also
// with the port. A domain may be in one virtual host of a RouteConfiguration
// only, or Envoy refuses it whole: where a service is called like another's
// short name the service has it, and an address belongs to its owner.
func domains(s *mesh.Snapshot, sc Scope, svc *mesh.Service, port uint32) []string {
	names := []string{bracketed(svc.Host)}
	for _, name := range shortNames(s, sc, svc.Host) {
		if serviceIn(s, sc, name) == nil {
			names = append(names, name)
		}
	}
	for _, address := range svc.Addresses {
		if serviceIn(s, sc, address) == nil && owner(s, sc, address, port) == svc {
			names = append(names, bracketed(address))
		}
	}
	return withPorts(names, port)
}

// withPorts is each name, bare and with the port, once.
func withPorts(names []string, port uint32) []string {
	out := make([]string, 0, 2*len(names))
	for _, name := range names {
		if !slices.Contains(out, name) {
			out = append(out, name, name+":"+routeName(port))
		}
	}
	return out
}

// owner is the service that an address means on a port in the scope; nil for
// none. Kubernetes' own services go before ServiceEntries: nobody takes the
// address of a service by claiming it.
func owner(s *mesh.Snapshot, sc Scope, address string, port uint32) *mesh.Service {
	var first *mesh.Service
	for _, host := range addressed(s, address) {
		svc := serviceIn(s, sc, host)
		if svc != nil && hasPort(svc, port) && (first == nil || compareServices(svc, first) < 0) {
			first = svc
		}
	}
	return first
}

// compareServices is the order in which services get an address that several have.
func compareServices(a, b *mesh.Service) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Host, b.Host))
}

func rank(svc *mesh.Service) int {
	if svc.Ref.Kind == mesh.KindService {
		return 0
	}
	return 1
}

func hasPort(svc *mesh.Service, port uint32) bool {
	return slices.ContainsFunc(svc.Ports, func(p mesh.ServicePort) bool { return p.Number == port })
}

// addressed are the hosts of the services that claim an address.
func addressed(s *mesh.Snapshot, address string) []string { return s.Addresses[address] }
