package xds

import (
	"fmt"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Sent is what the stream of this proxy (NAMESPACE/POD) was last sent, in the
// shape of Envoy's config_dump: one section a type, resources in the order of
// their names, virtual hosts inside their routes. What the proxy brought from
// an earlier stream and that has changed since is left out: its content is not
// known. ErrNotConnected when there is no such stream.
func (s *Server) Sent(name string) (*adminv3.ConfigDump, error) {
	c, err := s.find(name)
	if err != nil {
		return nil, err
	}
	var held [kinds][]*resource
	c.mu.Lock()
	for k, w := range c.watches {
		held[k] = w.held()
	}
	c.mu.Unlock()
	dump := &adminv3.ConfigDump{}
	for _, section := range []proto.Message{
		sentClusters(held[cluster]), sentEndpoints(held[endpoint]), sentExtensions(held[extension]),
		sentListeners(held[listener]), sentRoutes(held[route], held[virtualHost]),
	} {
		packed, err := anypb.New(section)
		if err != nil {
			return nil, fmt.Errorf("packing what was sent to %s: %w", name, err)
		}
		dump.Configs = append(dump.Configs, packed)
	}
	return dump, nil
}

// packed is the resource as an Any.
func (r *resource) packed() *anypb.Any { return &anypb.Any{TypeUrl: r.kind.url(), Value: r.value} }

func sentClusters(held []*resource) proto.Message {
	d := &adminv3.ClustersConfigDump{}
	for _, r := range solid(held) {
		d.DynamicActiveClusters = append(d.DynamicActiveClusters, &adminv3.ClustersConfigDump_DynamicCluster{VersionInfo: r.version, Cluster: r.packed()})
	}
	return d
}

func sentEndpoints(held []*resource) proto.Message {
	d := &adminv3.EndpointsConfigDump{}
	for _, r := range solid(held) {
		d.DynamicEndpointConfigs = append(d.DynamicEndpointConfigs, &adminv3.EndpointsConfigDump_DynamicEndpointConfig{VersionInfo: r.version, EndpointConfig: r.packed()})
	}
	return d
}

func sentExtensions(held []*resource) proto.Message {
	d := &adminv3.EcdsConfigDump{}
	for _, r := range solid(held) {
		d.EcdsFilters = append(d.EcdsFilters, &adminv3.EcdsConfigDump_EcdsFilterConfig{VersionInfo: r.version, EcdsFilter: r.packed()})
	}
	return d
}

func sentListeners(held []*resource) proto.Message {
	d := &adminv3.ListenersConfigDump{}
	for _, r := range solid(held) {
		d.DynamicListeners = append(d.DynamicListeners, &adminv3.ListenersConfigDump_DynamicListener{
			Name: r.name, ActiveState: &adminv3.ListenersConfigDump_DynamicListenerState{VersionInfo: r.version, Listener: r.packed()},
		})
	}
	return d
}

// sentRoutes puts virtual hosts where Envoy's dump shows them: into their route.
func sentRoutes(held, hosts []*resource) proto.Message {
	d := &adminv3.RoutesConfigDump{}
	for _, r := range solid(held) {
		d.DynamicRouteConfigs = append(d.DynamicRouteConfigs, &adminv3.RoutesConfigDump_DynamicRouteConfig{VersionInfo: r.version, RouteConfig: r.withHosts(hosts)})
	}
	return d
}

func (r *resource) withHosts(hosts []*resource) *anypb.Any {
	var config routev3.RouteConfiguration
	if !r.pulls || proto.Unmarshal(r.value, &config) != nil {
		return r.packed()
	}
	for _, h := range solid(hosts) {
		var vh routev3.VirtualHost
		if routeName(h.name) == r.name && len(h.value) > 0 && proto.Unmarshal(h.value, &vh) == nil {
			config.VirtualHosts = append(config.VirtualHosts, &vh)
		}
	}
	full, err := anypb.New(&config)
	if err != nil {
		return r.packed()
	}
	return full
}

// solid leaves out resources of which only the version is known.
func solid(held []*resource) []*resource {
	var out []*resource
	for _, r := range held {
		if !r.hollow() {
			out = append(out, r)
		}
	}
	return out
}
