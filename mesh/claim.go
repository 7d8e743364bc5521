package mesh

import (
	"fmt"
	"slices"
)

// noteClaims remembers who speaks for a host and which addresses it claims.
func (b *Builder) noteClaims(host string, next *definition) {
	if old := b.definitions[host]; old != nil {
		for _, ip := range old.service.Addresses {
			b.claims.remove(ip, host)
		}
	}
	delete(b.definitions, host)
	if next == nil {
		return
	}
	b.definitions[host] = next
	for _, ip := range next.service.Addresses {
		b.claims.add(ip, host)
	}
}

// withoutForeign is a service without the addresses that it claims of other
// namespaces' pods: what is sent to a pod is not for it to route.
func (b *Builder) withoutForeign(s *Service) (*Service, []Problem) {
	var lost []Problem
	kept := slices.DeleteFunc(slices.Clone(s.Addresses), func(ip string) bool {
		p := b.foreignAt(ip, s.Ref.Namespace)
		if p == nil {
			return false
		}
		lost = append(lost, Problem{
			Ref: s.Ref, Field: "spec", Fix: "claim an address that no pod has",
			Message: fmt.Sprintf("the address %s is pod %s/%s's and not host %s's", ip, p.ref.Namespace, p.ref.Name, s.Host),
		})
		return true
	})
	if len(lost) == 0 {
		return s, nil
	}
	out := *s
	out.Addresses = kept
	return &out, lost
}

// foreignAt is the first pod of another namespace that has an address; nil for none.
func (b *Builder) foreignAt(ip, namespace string) *pod {
	for _, k := range sorted(b.podsByIP[ip]) {
		if p := b.pods.all[k]; k.Namespace != namespace && !p.gone {
			return p
		}
	}
	return nil
}
