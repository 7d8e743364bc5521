package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// What conflicts are about, besides the definition of a host.
const (
	routeConflicts   = "routes of "
	addressConflicts = "address "
)

// namespaceOf is the namespace that a host of the cluster's domain, or a pattern
// of such hosts, belongs to; "" for none.
func namespaceOf(host string) string {
	rest, ok := strings.CutSuffix(host, ".svc."+clusterDomain)
	if !ok {
		return ""
	}
	return rest[strings.LastIndexByte(rest, '.')+1:]
}

// shadowed tells the routes of a host, in their order, that never get their turn:
// an earlier one is seen wherever they are.
func shadowed(host string, list []route) []Problem {
	var out []Problem
	for i, r := range list {
		j := slices.IndexFunc(list[:i], func(earlier route) bool { return coversAll(earlier.ExportTo, r.ExportTo) })
		if j >= 0 {
			out = append(out, Problem{
				Ref: r.Ref, Field: "spec.hosts", Fix: "merge the two, or narrow spec.exportTo of one",
				Message: fmt.Sprintf("host %s is already routed by %s, which goes first", host, list[j].Ref),
			})
		}
	}
	return out
}

// coversAll says whether what is exported to a is seen wherever b is.
func coversAll(a, b []string) bool {
	return !slices.ContainsFunc(b, func(to string) bool { return to != "~" && !slices.Contains(a, to) && !slices.Contains(a, "*") })
}

// shared tells the services that claim an address and port which an earlier one
// has: Kubernetes' own go before ServiceEntries, then they go by host. The hosts
// of one ServiceEntry may share its address.
func (b *Builder) shared(ip string, hosts []string) []Problem {
	var list []*Service
	for _, host := range hosts {
		list = append(list, b.mark.services.entries[host])
	}
	slices.SortStableFunc(list, func(a, b *Service) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	var out []Problem
	for i, s := range list {
		j := slices.IndexFunc(list[:i], func(earlier *Service) bool { return earlier.contends(s) })
		if j >= 0 {
			out = append(out, Problem{
				Ref: s.Ref, Field: "spec", Fix: "give each service an address of its own",
				Message: fmt.Sprintf("the address %s is already that of %s, which has it where both have a port", ip, list[j].Ref),
			})
		}
	}
	return out
}

func rankOf(s *Service) int {
	if s.Ref.Kind == KindService {
		return 0
	}
	return 1
}

// contends says whether s keeps a later service of another object from an address
// on some port, for some client. Kubernetes' own do so unseen too.
func (s *Service) contends(later *Service) bool {
	if s.Ref.ID() == later.Ref.ID() || coversAll(nil, later.ExportTo) {
		return false
	}
	seen := func(to string) bool { return to == "*" || slices.Contains(s.ExportTo, to) }
	everywhere := rankOf(s) == 0 || slices.Contains(s.ExportTo, "*")
	return (everywhere || slices.ContainsFunc(later.ExportTo, seen)) && slices.ContainsFunc(later.Ports, func(p ServicePort) bool {
		return slices.ContainsFunc(s.Ports, func(q ServicePort) bool { return p.Number == q.Number })
	})
}
