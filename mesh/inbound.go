package mesh

import (
	"cmp"
	"fmt"
	"slices"
)

// composeWorkload composes one pod's workload and inbound side.
func (b *Builder) composeWorkload(k Key) {
	p := b.pods.all[k]
	old := b.last.Workloads[k]
	if p == nil || p.gone || len(p.ips) == 0 {
		b.mark.workloads.put(k, nil)
		b.inbounds.release(k)
		return
	}
	next := &Workload{
		Ref: p.ref, UID: p.uid, Node: p.node, Account: p.account, IPs: p.ips, Labels: p.labels,
		Sidecar: p.sidecar, Ready: !p.terminating, Inbound: b.inbounds.share(k, b.inboundOf(p)),
	}
	b.mark.workloads.put(k, keepWorkload(old, next))
}

func keepWorkload(old, next *Workload) *Workload {
	if old == nil || old.Inbound != next.Inbound {
		return next
	}
	return keep(old, next)
}

// inboundOf is the inbound side of a pod.
func (b *Builder) inboundOf(p *pod) *Inbound {
	d := b.modes[p.ref.Key]
	in := &Inbound{Namespace: p.ref.Namespace, Ports: b.inboundPorts(p.ref.Key), MTLS: d.mtls, Origins: slices.Clone(d.origins), Quarantined: b.quarantined(p.id)}
	for _, a := range b.policiesOf(p) {
		in.Policies = append(in.Policies, a.policy)
		in.Origins = append(in.Origins, a.ref)
	}
	return in
}

// policiesOf are the AuthorizationPolicies that select a pod, sorted.
func (b *Builder) policiesOf(p *pod) []*authPolicy {
	var out []*authPolicy
	namespaces := []string{p.ref.Namespace}
	if p.ref.Namespace != b.root {
		namespaces = append(namespaces, b.root)
	}
	for _, ns := range namespaces {
		for _, a := range b.policies.byNamespace[ns] {
			if a.selection.selects(p, b.hostsByPod[p.ref.Key]) {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, func(a, b *authPolicy) int { return compareKeys(a.ref.Key, b.ref.Key) })
	return out
}

// inboundPorts are the ports that services send to. Where several share a port
// of the pod, the first by host and service port names it.
func (b *Builder) inboundPorts(k Key) []InboundPort {
	var all []InboundPort
	for host := range b.hostsByPod[k] {
		all = append(all, b.backings[host][k]...)
	}
	slices.SortFunc(all, func(a, b InboundPort) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Host, b.Host), cmp.Compare(a.ServicePort, b.ServicePort))
	})
	return slices.CompactFunc(all, func(a, b InboundPort) bool { return a.Number == b.Number })
}

// inbounds shares one pointer between all workloads whose inbound sides are the same.
type inbounds struct {
	byText map[string]*sharedInbound
	byPod  map[Key]string
}

type sharedInbound struct {
	inbound *Inbound
	users   int
}

func newInbounds() *inbounds {
	return &inbounds{byText: map[string]*sharedInbound{}, byPod: map[Key]string{}}
}

// share is the one pointer for what in says; the pod's old one is released.
func (s *inbounds) share(k Key, in *Inbound) *Inbound {
	text := inboundText(in)
	if s.byPod[k] == text {
		return s.byText[text].inbound
	}
	entry := s.byText[text]
	if entry == nil {
		entry = &sharedInbound{inbound: in}
		s.byText[text] = entry
	}
	entry.users++
	s.release(k)
	s.byPod[k] = text
	return entry.inbound
}

func (s *inbounds) release(k Key) {
	text, ok := s.byPod[k]
	if !ok {
		return
	}
	delete(s.byPod, k)
	entry := s.byText[text]
	if entry.users--; entry.users == 0 {
		delete(s.byText, text)
	}
}

// inboundText tells inbound sides apart. A policy stands for itself by its
// address: it is compiled once and kept while nothing in it changes.
func inboundText(in *Inbound) string {
	t := append(make([]byte, 0, 256), in.Namespace...)
	for _, p := range in.Ports {
		t = fmt.Appendf(t, "|%d %s %s %d", p.Number, p.Protocol, p.Host, p.ServicePort)
	}
	if in.Quarantined {
		t = append(t, "|quarantined"...)
	}
	t = append(append(t, '|'), in.MTLS.Mode...)
	if len(in.MTLS.Ports) > 0 {
		t = fmt.Appendf(t, "%v", in.MTLS.Ports) // sorted by key
	}
	for _, p := range in.Policies {
		t = fmt.Appendf(t, "|%p", p)
	}
	for _, r := range in.Origins {
		t = append(append(append(append(append(append(t, '|'), r.Kind...), ' '), r.Namespace...), '/'), r.Name...)
	}
	return string(t)
}
