package build

import (
	"slices"
	"strings"

	"github.com/ensign-mesh/ensign/mesh"
)

// reaches says whether what is exported to these namespaces is seen in one.
func reaches(exportTo []string, namespace string) bool {
	return slices.ContainsFunc(exportTo, func(to string) bool { return to == "*" || to == namespace })
}

// serviceIn is the service of a host if the scope sees it, else nil.
func serviceIn(s *mesh.Snapshot, sc Scope, host string) *mesh.Service {
	svc := s.Services[host]
	if svc == nil || !reaches(svc.ExportTo, sc.Namespace) {
		return nil
	}
	return svc
}

// patterns are the hosts of routes and rules that speak for a host, the most
// specific first: itself, "*.suffix" from the longest, "*".
func patterns(host string) []string {
	list := []string{host}
	rest := strings.TrimPrefix(host, "*.")
	for {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return append(list, "*")
		}
		list, rest = append(list, "*."+after), after
	}
}

// routeFor is the VirtualService in force for a host: of those that the scope
// sees the one with the most specific host, then the oldest. Nil: none.
func routeFor(s *mesh.Snapshot, sc Scope, host string) *mesh.VirtualService {
	for _, pattern := range patterns(host) {
		for _, r := range s.Routes[pattern] {
			if reaches(r.ExportTo, sc.Namespace) {
				return r
			}
		}
	}
	return nil
}

// rulesFor are the DestinationRules in force for a service, in order: those of
// the client's namespace, else of the service's, else of the root namespace;
// there those of the most specific host. Several of one host add up, the oldest first.
func rulesFor(s *mesh.Snapshot, sc Scope, svc *mesh.Service) []*mesh.DestinationRule {
	namespaces := []string{sc.Namespace, svc.Ref.Namespace, s.Config.RootNamespace}
	if sc.Namespace == s.Config.RootNamespace {
		namespaces = namespaces[1:] // the mesh's defaults don't go before the service's own
	}
	for _, namespace := range namespaces {
		for _, pattern := range patterns(svc.Host) {
			var found []*mesh.DestinationRule
			for _, r := range s.DestinationRules[pattern] {
				if r.Ref.Namespace == namespace && reaches(r.ExportTo, sc.Namespace) {
					found = append(found, r)
				}
			}
			if len(found) > 0 {
				return found
			}
		}
	}
	return nil
}
