package mesh

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	regionLabel = "topology.kubernetes.io/region"
	zoneLabel   = "topology.kubernetes.io/zone"
)

// backing is the pods behind a host, each with the inbound ports that the host
// sends to; none for a pod that is known by its address alone.
type backing map[Key][]InboundPort

func (g backing) add(k Key, p InboundPort) {
	if !slices.Contains(g[k], p) {
		g[k] = append(g[k], p)
	}
}

// gathering collects the endpoints of one host.
type gathering struct {
	b        *Builder
	d        *definition
	ports    map[uint32][]Endpoint
	accounts Set[spiffeid.ID]
	behind   backing
}

// endpointsOf finds who answers for a host, and which pods stand behind it.
func (b *Builder) endpointsOf(d *definition) (*EndpointSet, backing) {
	g := &gathering{b: b, d: d, ports: map[uint32][]Endpoint{}, accounts: Set[spiffeid.ID]{}, behind: backing{}}
	if d.kube {
		for _, k := range sorted(b.slicesByHost[d.service.Host]) {
			g.slice(b.slices.all[k])
		}
	} else {
		g.entry(d.entry)
	}
	g.selected()
	return &EndpointSet{Host: d.service.Host, Ports: g.sortedPorts(), Accounts: g.sortedAccounts()}, g.sortedBehind()
}

// slice joins the endpoints of one slice with the service's ports by name. An
// endpoint that names a pod is left out while that pod is not there with that
// address: who has the address then is not known, and a client would send it
// plaintext.
func (g *gathering) slice(s *slice) {
	for _, e := range s.endpoints {
		for _, ip := range e.addresses {
			p := g.b.podAt(ip, e.pod)
			if e.pod != (Key{}) && (p == nil || p.ref.Key != e.pod) {
				continue
			}
			for _, t := range g.d.targets {
				for _, sp := range s.ports {
					if sp.name == t.Name {
						g.endpoint(t, ip, sp.number, e.ready, p, Endpoint{Zone: e.zone})
					}
				}
			}
			g.stands(p)
		}
	}
}

func (g *gathering) entry(e *entry) {
	for _, id := range e.accounts {
		g.accounts.Add(id)
	}
	for _, w := range e.endpoints {
		p := g.b.podAt(w.address, Key{})
		if !w.id.IsZero() {
			g.accounts.Add(w.id)
		}
		for _, t := range g.d.targets {
			base := Endpoint{Account: w.id, Labels: w.labels, MTLS: w.labels[sidecarLabel] == sidecarMTLS, Region: w.region, Zone: w.zone, Weight: w.weight}
			g.endpoint(t, w.address, cmp.Or(w.ports[t.Name], t.number), true, p, base)
		}
		g.stands(p)
	}
}

// selected adds the pods that the selector hits: their accounts and inbound
// ports for either kind of service, the endpoints of a ServiceEntry.
func (g *gathering) selected() {
	if len(g.d.selector) == 0 {
		return
	}
	var pods []*pod
	for _, p := range g.b.pods.byNamespace[g.d.service.Ref.Namespace] {
		if !p.gone && covers(g.d.selector, p.labels) {
			pods = append(pods, p)
		}
	}
	slices.SortFunc(pods, func(a, b *pod) int { return compareKeys(a.ref.Key, b.ref.Key) })
	for _, p := range pods {
		g.stands(p)
		for _, t := range g.d.targets {
			port, ok := t.on(p)
			if !ok {
				continue
			}
			g.behind.add(p.ref.Key, g.inbound(t, port))
			if !g.d.kube {
				for _, ip := range p.ips {
					g.endpoint(t, ip, port, p.ready, p, Endpoint{})
				}
			}
		}
	}
}

// stands notes that a pod stands behind the host: it may run the service.
func (g *gathering) stands(p *pod) {
	if p == nil {
		return
	}
	g.accounts.Add(p.id)
	if _, ok := g.behind[p.ref.Key]; !ok {
		g.behind[p.ref.Key] = nil
	}
}

// endpoint adds one endpoint of a service port. Only a pod of the service's own
// namespace gets an inbound port by it: nobody else shapes its inbound side.
func (g *gathering) endpoint(t portTarget, ip string, port uint32, ready bool, p *pod, e Endpoint) {
	e.Address, e.Port = ip, port
	if p != nil {
		if p.ref.Namespace == g.d.service.Ref.Namespace {
			g.behind.add(p.ref.Key, g.inbound(t, port))
		}
		e.Account, e.Labels, e.Workload = p.id, p.labels, p.ref.Key
		e.MTLS = p.sidecar && g.b.modes[p.ref.Key].mtls.For(port) != Disable
		e.Region, e.Zone = cmp.Or(e.Region, p.labels[regionLabel]), cmp.Or(e.Zone, p.labels[zoneLabel])
	}
	if g.d.service.External {
		e.MTLS = false
	}
	if !ready || g.b.quarantined(e.Account) || slices.ContainsFunc(g.ports[t.Number], func(o Endpoint) bool { return o.Address == ip && o.Port == port }) {
		return
	}
	g.ports[t.Number] = append(g.ports[t.Number], e)
}

func (g *gathering) inbound(t portTarget, port uint32) InboundPort {
	return InboundPort{Number: port, Protocol: t.Protocol, Host: g.d.service.Host, ServicePort: t.Number}
}

func (g *gathering) sortedPorts() map[uint32][]Endpoint {
	for _, list := range g.ports {
		slices.SortFunc(list, func(a, b Endpoint) int {
			return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
		})
	}
	return g.ports
}

func (g *gathering) sortedAccounts() []spiffeid.ID {
	out := make([]spiffeid.ID, 0, len(g.accounts))
	for id := range g.accounts {
		if !g.b.quarantined(id) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b spiffeid.ID) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

func (g *gathering) sortedBehind() backing {
	for _, ports := range g.behind {
		slices.SortFunc(ports, func(a, b InboundPort) int {
			return cmp.Or(cmp.Compare(a.ServicePort, b.ServicePort), cmp.Compare(a.Number, b.Number))
		})
	}
	return g.behind
}

// podAt is the pod behind an address: the one that is named, if the address is
// its own or it has none yet; else the one that has the address. Where several
// have it (host network) they must be of one account, else it is nobody's.
func (b *Builder) podAt(ip string, named Key) *pod {
	if p := b.pods.all[named]; p != nil && !p.gone && (len(p.ips) == 0 || slices.Contains(p.ips, ip)) {
		return p
	}
	var found *pod
	for _, k := range sorted(b.podsByIP[ip]) {
		switch p := b.pods.all[k]; {
		case p.gone:
		case found == nil:
			found = p
		case found.id != p.id:
			return nil
		}
	}
	return found
}

// kubeService is the service that a host of the cluster's domain names.
func kubeService(host string) (Key, bool) {
	rest, ok := strings.CutSuffix(host, ".svc."+clusterDomain)
	if !ok {
		return Key{}, false
	}
	name, namespace, ok := strings.Cut(rest, ".")
	return Key{namespace, name}, ok
}
