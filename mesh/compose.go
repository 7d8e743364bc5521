package mesh

import (
	"maps"
	"slices"
)

// compose makes the next snapshot of what is marked, in the order in which one
// part leans on another: policies → what a workload demands of its clients →
// endpoints (which say so) → what stands behind a host → inbound sides.
func (b *Builder) compose() ChangeSet {
	config := b.composeConfig()
	b.composeDemands()
	for host := range b.mark.hosts {
		b.composeHost(host)
	}
	for k := range b.mark.pods {
		b.composeWorkload(k)
	}
	b.composePorts()
	b.composeRouting()
	changes := b.mark.changes(config != b.last.Config, b.mark.denied != b.last.Denied)
	if changes.Empty() {
		return changes
	}
	b.last = &Snapshot{
		Generation: b.last.Generation + 1, TrustDomain: b.td, SVIDLife: b.life, Config: config,
		Namespaces: b.mark.namespaces.entries, Accounts: b.mark.accounts.entries,
		Services: b.mark.services.entries, Endpoints: b.mark.endpoints.entries, Ports: b.mark.ports.entries,
		Addresses: b.mark.addresses.entries,
		Workloads: b.mark.workloads.entries, Routes: b.mark.routing.entries, DestinationRules: b.mark.ruling.entries,
		Denied: b.mark.denied,
	}
	return changes
}

// composeConfig is the configuration in force. Another root namespace may change
// every workload's policies.
func (b *Builder) composeConfig() *Config {
	next := b.mark.config
	if next == nil || *next == *b.last.Config {
		return b.last.Config
	}
	if next.RootNamespace != b.last.Config.RootNamespace {
		for k := range b.pods.all {
			b.mark.pods.Add(k)
		}
	}
	b.root = next.RootNamespace
	return next
}

// demand is what a workload demands of its clients, and by whose word.
type demand struct {
	mtls    PeerMTLS
	origins []Ref
}

// composeDemands resolves PeerAuthentications for every marked pod and marks the
// hosts that the pod stands behind: their endpoints say whether it takes mTLS.
func (b *Builder) composeDemands() {
	for namespace := range b.mark.peers {
		pods := b.pods.byNamespace[namespace]
		if namespace == b.root {
			pods = b.pods.all
		}
		for k := range pods {
			b.mark.pods.Add(k)
		}
	}
	for k := range b.mark.pods {
		p := b.pods.all[k]
		if p == nil {
			delete(b.modes, k)
			continue
		}
		old, had := b.modes[k]
		mtls, origins := resolveMTLS(p, b.root, b.peers.byNamespace)
		b.modes[k] = demand{mtls, origins}
		if had && (old.mtls.Mode != mtls.Mode || !maps.Equal(old.mtls.Ports, mtls.Ports)) {
			for host := range b.hostsByPod[k] {
				b.mark.hosts.Add(host)
			}
		}
	}
}

// composePorts lists again the hosts of the port numbers and virtual IPs that
// were touched.
func (b *Builder) composePorts() {
	for number := range b.mark.portNumbers {
		next := slices.Sorted(maps.Keys(b.hostsByPort[number]))
		if !slices.Equal(next, b.last.Ports[number]) {
			b.mark.ports.put(number, next)
		}
	}
	for ip := range b.mark.vips {
		next := slices.Sorted(maps.Keys(b.hostsByVIP[ip]))
		b.report.setHost(addressConflicts+ip, b.shared(ip, next))
		if !slices.Equal(next, b.last.Addresses[ip]) {
			b.mark.addresses.put(ip, next)
		}
	}
}

func (b *Builder) composeRouting() {
	for host := range b.mark.routes {
		var list []route
		for k := range b.routesByHost[host] {
			list = append(list, b.routes.all[k])
		}
		own := namespaceOf(host)
		slices.SortFunc(list, func(a, b route) int { return a.age.before(b.age, own) })
		b.report.setHost(routeConflicts+host, shadowed(host, list))
		var next []*VirtualService
		for _, r := range list {
			next = append(next, r.VirtualService)
		}
		if !slices.Equal(next, b.last.Routes[host]) {
			b.mark.routing.put(host, next)
		}
	}
	for host := range b.mark.rules {
		var list []rule
		for k := range b.rulesByHost[host] {
			list = append(list, b.rules.all[k])
		}
		slices.SortFunc(list, func(a, b rule) int { return a.age.compare(b.age) })
		var next []*DestinationRule
		for _, r := range list {
			next = append(next, r.DestinationRule)
		}
		if !slices.Equal(next, b.last.DestinationRules[host]) {
			b.mark.ruling.put(host, next)
		}
	}
}
