package mesh

import "reflect"

// The take functions put a compiled object (nil: none) in the place of the one
// before, keep the indexes, and mark what leans on either.

func (b *Builder) takePod(k Key, p *pod) {
	for _, v := range []*pod{b.pods.all[k], p} {
		if v == nil {
			continue
		}
		b.markPod(v)
	}
	if old := b.pods.all[k]; old != nil {
		for _, ip := range old.ips {
			b.podsByIP.remove(ip, k)
		}
		b.pods.drop(k)
	}
	if p == nil {
		return
	}
	for _, ip := range p.ips {
		b.podsByIP.add(ip, k)
	}
	b.pods.put(k, p)
}

// markPod marks the workload and every host that a pod may stand behind.
func (b *Builder) markPod(p *pod) {
	k := p.ref.Key
	b.mark.pods.Add(k)
	for _, d := range b.services.byNamespace[k.Namespace] {
		if len(d.selector) > 0 && covers(d.selector, p.labels) {
			b.mark.hosts.Add(d.service.Host)
		}
	}
	for _, list := range b.entries.byNamespace[k.Namespace] {
		for _, d := range list {
			if len(d.selector) > 0 && covers(d.selector, p.labels) {
				b.mark.hosts.Add(d.service.Host)
			}
		}
	}
	b.markSlices(b.slicesByPod[k])
	for _, ip := range p.ips {
		b.markSlices(b.slicesByIP[ip])
		for entry := range b.entriesByIP[ip] {
			b.markEntry(entry)
		}
		for host := range b.claims[ip] {
			b.mark.hosts.Add(host)
		}
	}
}

func (b *Builder) markSlices(keys Set[Key]) {
	for k := range keys {
		b.mark.hosts.Add(b.slices.all[k].host)
	}
}

func (b *Builder) markEntry(k Key) {
	for _, d := range b.entries.all[k] {
		b.mark.hosts.Add(d.service.Host)
	}
}

func (b *Builder) takeService(k Key, d *definition) {
	short := k.Name + "." + k.Namespace
	for _, host := range []string{kubeHost(k), short + ".svc", short} { // entries may claim the short ones
		b.mark.hosts.Add(host)
	}
	b.services.drop(k)
	if d != nil {
		b.services.put(k, d)
	}
}

func (b *Builder) takeSlice(k Key, s *slice) {
	if old := b.slices.all[k]; old != nil {
		b.mark.hosts.Add(old.host)
		b.slicesByHost.remove(old.host, k)
		old.each(func(ip string, pod Key) { b.slicesByIP.remove(ip, k); b.slicesByPod.remove(pod, k) })
		b.slices.drop(k)
	}
	if s == nil {
		return
	}
	b.mark.hosts.Add(s.host)
	b.slicesByHost.add(s.host, k)
	s.each(func(ip string, pod Key) { b.slicesByIP.add(ip, k); b.slicesByPod.add(pod, k) })
	b.slices.put(k, s)
}

func (b *Builder) takeEntry(k Key, list []*definition) {
	for _, d := range b.entries.all[k] {
		b.mark.hosts.Add(d.service.Host)
		b.entriesByHost.remove(d.service.Host, k)
		for _, e := range d.entry.endpoints {
			b.entriesByIP.remove(e.address, k)
		}
	}
	b.entries.drop(k)
	if len(list) == 0 {
		return
	}
	for _, d := range list {
		b.mark.hosts.Add(d.service.Host)
		b.entriesByHost.add(d.service.Host, k)
		for _, e := range d.entry.endpoints {
			b.entriesByIP.add(e.address, k)
		}
	}
	b.entries.put(k, list)
}

func (b *Builder) takePeer(k Key, p *peerAuth) {
	old := b.peers.all[k]
	if p != nil && old != nil && p.equal(old) {
		old.standIn = p.standIn
		return
	}
	b.mark.peers.Add(k.Namespace)
	b.peers.drop(k)
	if p != nil {
		b.peers.put(k, p)
	}
}

func (b *Builder) takePolicy(k Key, p *authPolicy) {
	if old := b.policies.all[k]; p != nil && old != nil && reflect.DeepEqual(p.policy, old.policy) {
		p.policy = old.policy
		if p.selection.equal(old.selection) {
			old.standIn = p.standIn
			return
		}
	}
	if old := b.policies.all[k]; old != nil {
		b.markSelected(k.Namespace, old.selection)
		b.policies.drop(k)
	}
	if p != nil {
		b.markSelected(k.Namespace, p.selection)
		b.policies.put(k, p)
	}
}

// markSelected marks the pods that a policy selects. What a later change of the
// hosts behind a pod selects is marked by that change.
func (b *Builder) markSelected(namespace string, s selection) {
	pods := b.pods.byNamespace[namespace]
	if namespace == b.root {
		pods = b.pods.all
	}
	for k, p := range pods {
		if s.selects(p, b.hostsByPod[k]) {
			b.mark.pods.Add(k)
		}
	}
}

func (b *Builder) takeRoute(k Key, r route) {
	if old, ok := b.routes.all[k]; ok {
		if r.VirtualService != nil && r.equal(old.VirtualService) {
			r.VirtualService = old.VirtualService
		}
		for _, h := range old.Hosts {
			b.mark.routes.Add(h)
			b.routesByHost.remove(h, k)
		}
		b.routes.drop(k)
	}
	if r.VirtualService == nil {
		return
	}
	for _, h := range r.Hosts {
		b.mark.routes.Add(h)
		b.routesByHost.add(h, k)
	}
	b.routes.put(k, r)
}

func (b *Builder) takeRule(k Key, r rule) {
	if old, ok := b.rules.all[k]; ok {
		if r.DestinationRule != nil && r.equal(old.DestinationRule) {
			r.DestinationRule = old.DestinationRule
		}
		b.mark.rules.Add(old.Host)
		b.rulesByHost.remove(old.Host, k)
		b.rules.drop(k)
	}
	if r.DestinationRule == nil {
		return
	}
	b.mark.rules.Add(r.Host)
	b.rulesByHost.add(r.Host, k)
	b.rules.put(k, r)
}

// forget takes nothing in the place of an object.
func (b *Builder) forget(id Ref) {
	switch id.Kind {
	case KindNamespace:
		b.mark.namespaces.put(id.Name, nil)
	case KindServiceAccount:
		b.mark.accounts.put(id.Key, nil)
	case KindConfigMap:
		if id.Key == (Key{defaultRootNamespace, meshConfigMap}) {
			b.configGood = false
			b.mark.setConfig(defaultConfig())
		}
	case KindPod:
		b.takePod(id.Key, nil)
	case KindService:
		b.takeService(id.Key, nil)
	case KindEndpointSlice:
		b.takeSlice(id.Key, nil)
	case KindServiceEntry:
		b.takeEntry(id.Key, nil)
	case KindVirtualService:
		b.takeRoute(id.Key, route{})
	case KindDestinationRule:
		b.takeRule(id.Key, rule{})
	case KindPeerAuthentication:
		b.takePeer(id.Key, nil)
	case KindAuthorizationPolicy:
		b.takePolicy(id.Key, nil)
	}
}
