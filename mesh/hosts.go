package mesh

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// composeHost composes one host: its service, its endpoints, and which pods
// stand behind it.
func (b *Builder) composeHost(host string) {
	d, conflicts := b.define(host)
	old := b.last.Services[host]
	var service *Service
	var set *EndpointSet
	var behind backing
	b.noteClaims(host, d)
	if d != nil {
		var lost []Problem
		service, lost = b.withoutForeign(d.service)
		conflicts = append(conflicts, lost...)
		service = keep(old, service)
		set, behind = b.endpointsOf(d)
	}
	b.report.setHost(host, conflicts)
	b.mark.services.put(host, service)
	b.indexService(host, old, service)
	b.putEndpoints(host, set)
	b.putBacking(host, behind)
}

// define finds who speaks for a host: Kubernetes' service before any
// ServiceEntry, of these the oldest. Nobody but Kubernetes' service speaks for
// its short names. The others are told.
func (b *Builder) define(host string) (*definition, []Problem) {
	var found []*definition
	for k := range b.entriesByHost[host] {
		for _, d := range b.entries.all[k] {
			if d.service.Host == host {
				found = append(found, d)
			}
		}
	}
	slices.SortFunc(found, func(a, b *definition) int { return a.age.compare(b.age) })
	owner := b.named(host)
	if owner != nil {
		found = append([]*definition{owner}, found...)
	}
	var conflicts []Problem
	for i := 1; i < len(found); i++ {
		conflicts = append(conflicts, Problem{
			Ref: found[i].service.Ref, Field: "spec.hosts", Fix: "use another host, or merge the two",
			Message: fmt.Sprintf("host %s is already defined by %s", host, found[0].service.Ref),
		})
	}
	if len(found) == 0 || owner != nil && owner.service.Host != host {
		return nil, conflicts
	}
	return found[0], conflicts
}

// named is Kubernetes' service of a host name: its full one, NAME.NAMESPACE.svc
// or NAME.NAMESPACE; nil when there is none.
func (b *Builder) named(host string) *definition {
	full := host
	switch strings.Count(host, ".") {
	case 1:
		full += ".svc." + clusterDomain
	case 2:
		full += "." + clusterDomain
	}
	if k, ok := kubeService(full); ok {
		return b.services.all[k]
	}
	return nil
}

// indexService notes the host under its service ports and virtual IPs.
func (b *Builder) indexService(host string, old, next *Service) {
	if old == next {
		return
	}
	for _, s := range []*Service{old, next} {
		if s == nil {
			continue
		}
		for _, p := range s.Ports {
			b.mark.portNumbers.Add(p.Number)
			b.hostsByPort.remove(p.Number, host)
		}
		for _, ip := range s.Addresses {
			b.mark.vips.Add(ip)
			b.hostsByVIP.remove(ip, host)
		}
	}
	if next != nil {
		for _, p := range next.Ports {
			b.hostsByPort.add(p.Number, host)
		}
		for _, ip := range next.Addresses {
			b.hostsByVIP.add(ip, host)
		}
	}
}

// putEndpoints keeps the old set, or its halves, where they are the same.
func (b *Builder) putEndpoints(host string, next *EndpointSet) {
	old := b.last.Endpoints[host]
	samePorts := old != nil && next != nil && reflect.DeepEqual(old.Ports, next.Ports)
	sameAccounts := old != nil && next != nil && slices.Equal(old.Accounts, next.Accounts)
	if samePorts && sameAccounts || old == nil && next == nil {
		return
	}
	if !samePorts {
		b.mark.endpointHosts.Add(host)
	} else {
		next.Ports = old.Ports
	}
	if !sameAccounts {
		b.mark.accountHosts.Add(host)
	} else {
		next.Accounts = old.Accounts
	}
	b.mark.endpoints.put(host, next)
}

// putBacking notes which pods stand behind a host and marks those for which
// that is new.
func (b *Builder) putBacking(host string, next backing) {
	old := b.backings[host]
	for k := range old {
		if _, still := next[k]; !still {
			b.hostsByPod.remove(k, host)
			b.mark.pods.Add(k)
		}
	}
	for k, ports := range next {
		if before, had := old[k]; !had || !slices.Equal(before, ports) {
			b.mark.pods.Add(k)
		}
		b.hostsByPod.add(k, host)
	}
	delete(b.backings, host)
	if len(next) > 0 {
		b.backings[host] = maps.Clone(next)
	}
}
