package build

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/mesh"
)

// routeConfiguration is the RouteConfiguration of a port: with the virtual hosts
// of the hosts, or with the word that they come by VHDS.
func routeConfiguration(s *mesh.Snapshot, sc Scope, port uint32, hosts []string) Resource {
	m := &routev3.RouteConfiguration{
		Name: routeName(port),
		// A route may name a cluster that does not exist (yet): it answers 503, and
		// the others are taken.
		ValidateClusters: wrapperspb.Bool(false),
		// A Host header's port is the client's word; where it called is the listener's.
		IgnorePortInHostMatching:       true,
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(maxDirectResponse),
	}
	if sc.VHDS {
		m.Vhds = &routev3.Vhds{ConfigSource: adsSource()}
	} else {
		for _, host := range hosts {
			if vh := virtualHostOf(s, sc, host, port); len(vh.Domains) > 0 {
				m.VirtualHosts = append(m.VirtualHosts, vh)
			}
		}
	}
	m.VirtualHosts = append(m.VirtualHosts, catchAll(s.Config))
	return Resource{TypeURL: TypeRoute, Name: m.Name, Message: m, Origins: portOrigins(s, sc, hosts)}
}
