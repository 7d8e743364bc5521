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

// nameHolder is the host of the service in the cluster's domain that a host is a
// short name of in the scope; "" for none. Such a name is that service's, whether
// or not the scope sees it: nobody takes it by being called like it.
func nameHolder(s *mesh.Snapshot, sc Scope, host string) string {
	full := host + "." + s.Config.ClusterDomain
	switch strings.Count(host, ".") {
	case 0:
		full = host + "." + sc.Namespace + ".svc." + s.Config.ClusterDomain
	case 1:
		full = host + ".svc." + s.Config.ClusterDomain
	}
	if _, _, ok := clusterLocal(s, full); !ok || s.Services[full] == nil {
		return ""
	}
	return full
}

// domains are what a virtual host of a service answers to on one port; the
// port in a client's Host header is ignored. A domain may be in one virtual host
// of a RouteConfiguration only, or Envoy refuses it whole: a short name belongs
// to the service in the cluster's domain, an address to its owner. A service that
// is called like another's short name may be left with none.
func domains(s *mesh.Snapshot, sc Scope, svc *mesh.Service, port uint32) []string {
	var names []string
	if nameHolder(s, sc, svc.Host) == "" {
		names = append(names, bracketed(svc.Host))
	}
	names = append(names, shortNames(s, sc, svc.Host)...)
	for _, address := range svc.Addresses {
		if name := bracketed(address); owner(s, sc, address, port) == svc && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// owner is the service that an address means on a port in the scope; nil for
// none. Kubernetes' own services go before ServiceEntries, also where the scope
// does not see them: nobody takes the address of a service by claiming it.
func owner(s *mesh.Snapshot, sc Scope, address string, port uint32) *mesh.Service {
	var first *mesh.Service
	for _, host := range addressed(s, address) {
		svc := s.Services[host]
		if mayOwn(sc, svc) && hasPort(svc, port) && (first == nil || compareServices(svc, first) < 0) {
			first = svc
		}
	}
	return first
}

// mayOwn says whether the scope minds a service's claim of an address.
func mayOwn(sc Scope, svc *mesh.Service) bool {
	return svc != nil && (rank(svc) == 0 || reaches(svc.ExportTo, sc.Namespace))
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
