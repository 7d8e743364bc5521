package build

import (
	"maps"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/mesh"
)

const anyAddress = "0.0.0.0"

// Ports are, sorted, the ports for which [Port] has something in this scope.
func Ports(s *mesh.Snapshot, sc Scope) []uint32 {
	found := map[uint32]bool{}
	for number, hosts := range s.Ports {
		if !mesh.Reserved(number) && slices.ContainsFunc(hosts, func(h string) bool { return serviceIn(s, sc, h) != nil }) {
			found[number] = true
		}
	}
	if len(hostsAlone(s, sc)) > 0 {
		found[routeOnlyPort] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// Port is what the scope's sidecars listen on for one service port (nothing for
// one of the sidecars' own, see [mesh.Reserved]): the HTTP
// listener 0.0.0.0_PORT with its RouteConfiguration PORT, and a TCP listener
// VIP_PORT for each TCP service, or IP_PORT for each endpoint of a headless one.
//
// The RouteConfiguration takes its virtual hosts from VHDS over ADS when
// sc.VHDS, besides the static catch-all; else it holds them.
//
// It reads the Services in Ports[port], the TCP routes that cover them, Config,
// for headless TCP services (no Addresses) the addresses in Endpoints, and,
// when !sc.VHDS, all that VirtualHosts reads for each host of the port.
func Port(s *mesh.Snapshot, sc Scope, port uint32) []Resource {
	if mesh.Reserved(port) {
		return nil
	}
	var out []Resource
	if hosts := httpHosts(s, sc, port); len(hosts) > 0 {
		l := httpListener(s.Config, port)
		out = append(out,
			Resource{TypeURL: TypeListener, Name: l.Name, Message: l, Origins: portOrigins(s, sc, hosts)},
			routeConfiguration(s, sc, port, hosts))
	}
	return append(out, tcpListeners(s, sc, port)...)
}

// maxOrigins bounds how many of a port's objects are named: the resources of
// port 80 come of every service of a large mesh.
const maxOrigins = 8

// portOrigins are the objects that the hosts of a port come of, as many as are named.
func portOrigins(s *mesh.Snapshot, sc Scope, hosts []string) []mesh.Ref {
	var out []mesh.Ref
	for _, host := range hosts {
		if svc := s.Services[host]; svc != nil {
			out = append(out, svc.Ref)
		} else {
			out = append(out, routeOrigins(s, sc, host)...)
		}
		if len(out) >= maxOrigins {
			break
		}
	}
	return out
}

// httpHosts are, sorted, the hosts with a virtual host on the port.
func httpHosts(s *mesh.Snapshot, sc Scope, port uint32) []string {
	var out []string
	for _, host := range s.Ports[port] {
		if slices.Contains(httpPorts(s, sc, host), port) {
			out = append(out, host)
		}
	}
	if port == routeOnlyPort {
		out = append(out, hostsAlone(s, sc)...)
		slices.Sort(out)
	}
	return out
}

// listener takes the captured connections to an address; the kernel hands them
// all to port 15001, so it binds none.
func listener(address string, port uint32, filter *listenerv3.Filter) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name: listenerName(address, port), Address: socketAddress(address, port),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		BindToPort:       wrapperspb.Bool(false),
		FilterChains:     []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{filter}}},
	}
}

// httpListener takes what is sent to a port on which some service speaks HTTP, to
// whatever address. TLS there is no request to any of them, so it goes where it
// would without them. A client that opens a connection and stays silent for a
// while is still heard.
func httpListener(c *mesh.Config, port uint32) *listenerv3.Listener {
	l := listener(anyAddress, port, outboundHTTP(port))
	l.ListenerFilters = []*listenerv3.ListenerFilter{
		listenerFilter("envoy.filters.listener.tls_inspector", &inspectorv3.TlsInspector{}),
	}
	l.ContinueOnListenerFiltersTimeout = true
	l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{
		Name:             l.Name + "-tls",
		FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: transportTLS},
		Filters:          []*listenerv3.Filter{forward(unknownCluster(c), unknownCluster(c))},
	})
	return l
}

// tcpListeners are those of the port's TCP services, one an address: where
// several services claim one, its owner has it, whatever it speaks; the pods of
// Kubernetes' headless services go before what ServiceEntries claim.
func tcpListeners(s *mesh.Snapshot, sc Scope, port uint32) []Resource {
	var out []Resource
	taken := map[string]bool{}
	add := func(svc *mesh.Service, address, endpoint string) {
		l := listener(address, port, outboundTCP(s, sc, svc, port, endpoint))
		taken[address] = true
		out = append(out, Resource{TypeURL: TypeListener, Name: l.Name, Message: l, Origins: routeOrigins(s, sc, svc.Host)})
	}
	for _, svc := range tcpServices(s, sc, port) { // Kubernetes' first
		for _, address := range svc.Addresses {
			if owner(s, sc, address, port) == svc && !taken[address] {
				add(svc, address, "")
			}
		}
		for _, address := range headlessAddresses(s, svc, port) {
			if o := owner(s, sc, address, port); !taken[address] && (o == nil || rank(o) > rank(svc)) {
				add(svc, address, address)
			}
		}
	}
	return out
}

// tcpServices are those with a TCP port of this number, in the order in which
// they get an address.
func tcpServices(s *mesh.Snapshot, sc Scope, port uint32) []*mesh.Service {
	var out []*mesh.Service
	for _, host := range s.Ports[port] {
		svc := serviceIn(s, sc, host)
		if svc == nil {
			continue
		}
		if slices.ContainsFunc(svc.Ports, func(p mesh.ServicePort) bool { return p.Number == port && !p.Protocol.IsHTTP() }) {
			out = append(out, svc)
		}
	}
	slices.SortFunc(out, compareServices)
	return out
}

// headlessAddresses are those of the endpoints of a service without an address.
// A pod of another namespace is left out: what clients send to it by address is
// not for this service to route.
func headlessAddresses(s *mesh.Snapshot, svc *mesh.Service, port uint32) []string {
	set := s.Endpoints[svc.Host]
	if len(svc.Addresses) > 0 || set == nil {
		return nil
	}
	var out []string
	for _, e := range set.Ports[port] {
		if e.Workload == (mesh.Key{}) || e.Workload.Namespace == svc.Ref.Namespace {
			out = append(out, e.Address)
		}
	}
	return slices.Compact(out)
}
