package build

import (
	"cmp"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/mesh"
)

const socketMatchMetadata = "envoy.transport_socket_match"

// Endpoints are the load assignments of the host's clusters, one for each
// cluster that Clusters makes, with the same names and in the same order.
//
// It reads what Clusters reads and Endpoints[host].Ports.
func Endpoints(s *mesh.Snapshot, sc Scope, host string) []Resource {
	var out []Resource
	for _, t := range targets(s, sc, host) {
		list := t.endpoints(s)
		out = append(out, Resource{
			TypeURL: TypeEndpoint, Name: t.name(), Message: t.assignment(list), IDs: t.identities(list), Origins: t.origins,
		})
	}
	return out
}

// endpoints are those of the target's port that its subset selects.
func (t target) endpoints(s *mesh.Snapshot) []mesh.Endpoint {
	set := s.Endpoints[t.service.Host]
	if set == nil || t.how == unserved {
		return nil
	}
	var out []mesh.Endpoint
	for _, e := range set.Ports[t.port.Number] {
		if selects(t.subset.GetLabels(), e.Labels) {
			out = append(out, e)
		}
	}
	return out
}

// selects says whether the labels have every pair of the selector.
func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// identities are, sorted, those that the endpoints must prove over mTLS.
func (t target) identities(list []mesh.Endpoint) []string {
	if t.how == plain {
		return nil
	}
	var ids []string
	for _, e := range list {
		if (e.MTLS || t.how == mutual) && !e.Account.IsZero() {
			ids = append(ids, e.Account.String())
		}
	}
	return union(ids, nil)
}

// assignment groups the endpoints by region and zone.
func (t target) assignment(list []mesh.Endpoint) *endpointv3.ClusterLoadAssignment {
	type place struct{ region, zone string }
	byPlace := map[place][]*endpointv3.LbEndpoint{}
	var places []place
	for _, e := range list {
		at := place{e.Region, e.Zone}
		if byPlace[at] == nil {
			places = append(places, at)
		}
		byPlace[at] = append(byPlace[at], t.endpoint(e))
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.region, b.region), cmp.Compare(a.zone, b.zone))
	})
	out := &endpointv3.ClusterLoadAssignment{ClusterName: t.name()}
	for _, at := range places {
		group := &endpointv3.LocalityLbEndpoints{LbEndpoints: byPlace[at]}
		if at != (place{}) {
			group.Locality = &corev3.Locality{Region: at.region, Zone: at.zone}
		}
		out.Endpoints = append(out.Endpoints, group)
	}
	return out
}

func (t target) endpoint(e mesh.Endpoint) *endpointv3.LbEndpoint {
	out := &endpointv3.LbEndpoint{
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(e.Address, e.Port)}},
	}
	metadata := map[string]*structpb.Struct{}
	if e.MTLS {
		metadata[socketMatchMetadata] = tlsMode(tlsModeMesh)
	}
	if t.headless() {
		metadata[subsetMetadata] = addressMetadata(e.Address)
	}
	if len(metadata) > 0 {
		out.Metadata = &corev3.Metadata{FilterMetadata: metadata}
	}
	if e.Weight > 0 {
		out.LoadBalancingWeight = wrapperspb.UInt32(e.Weight)
	}
	return out
}

func socketAddress(address string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}
