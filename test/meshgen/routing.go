package meshgen

import (
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/mesh"
)

// host is one of few host names: of services, like their short names, of entries.
func host(t *rapid.T) string {
	return pick(t, "a", "b.shop.svc.cluster.local", "a.stock.svc.cluster.local", "svc.svc.svc.cluster.local",
		"a.shop", "b.stock.svc", "a.svc", "x.example.com", "10.96.0.1", "fd00::1")
}

// pattern is a host or one with a wildcard.
func pattern(t *rapid.T) string {
	return pick(t, host(t), host(t), "*.svc.cluster.local", "*.stock.svc.cluster.local", "*.example.com")
}

func exportTo(t *rapid.T) []string {
	return pick(t, nil, []string{"*"}, []string{"."}, []string{"shop"}, []string{"~"})
}

func entry(t *rapid.T) mesh.Object {
	e := &networkingv1.ServiceEntry{ObjectMeta: meta(t)}
	e.Spec.Hosts = []string{pick(t, "a.shop", "b.stock.svc", "a.svc", "x.example.com", "a", "b")}
	e.Spec.Resolution = networking.ServiceEntry_STATIC
	e.Spec.Location = pick(t, networking.ServiceEntry_MESH_INTERNAL, networking.ServiceEntry_MESH_EXTERNAL)
	e.Spec.ExportTo = exportTo(t)
	e.Spec.Ports = []*networking.ServicePort{{Name: "p", Number: pick[uint32](t, 80, 81), Protocol: pick(t, "HTTP", "TCP")}}
	if chance(t) {
		e.Spec.Addresses = []string{address(t)}
	}
	if chance(t) {
		e.Spec.Endpoints = []*networking.WorkloadEntry{{Address: podAddress(t), Weight: 2, Labels: map[string]string{"security.istio.io/tlsMode": "istio"}}}
	}
	return object(mesh.KindServiceEntry, e.ObjectMeta, e)
}

func destination(t *rapid.T) *networking.Destination {
	d := &networking.Destination{Host: host(t), Subset: pick(t, "", "v1", "v2")}
	if chance(t) {
		d.Port = &networking.PortSelector{Number: pick[uint32](t, 80, 8080)}
	}
	return d
}

func virtualService(t *rapid.T) mesh.Object {
	v := &networkingv1.VirtualService{ObjectMeta: meta(t)}
	v.Spec.Hosts = []string{pattern(t), pattern(t)}
	v.Spec.ExportTo = exportTo(t)
	for range rapid.IntRange(0, 3).Draw(t, "http") {
		v.Spec.Http = append(v.Spec.Http, httpRoute(t))
	}
	if len(v.Spec.Http) == 0 || chance(t) {
		v.Spec.Tcp = []*networking.TCPRoute{{Route: []*networking.RouteDestination{{Destination: destination(t)}}}}
		if chance(t) {
			v.Spec.Tcp[0].Match = []*networking.L4MatchAttributes{{Port: pick[uint32](t, 80, 81), SourceNamespace: pick(t, "", "shop")}}
		}
	}
	return object(mesh.KindVirtualService, v.ObjectMeta, v)
}

func httpRoute(t *rapid.T) *networking.HTTPRoute {
	r := &networking.HTTPRoute{Route: []*networking.HTTPRouteDestination{{Destination: destination(t), Weight: 1}}}
	if chance(t) {
		r.Route = append(r.Route, &networking.HTTPRouteDestination{Destination: destination(t), Weight: 2})
	}
	if chance(t) {
		r.Match = []*networking.HTTPMatchRequest{{
			Port: pick[uint32](t, 0, 80), SourceNamespace: pick(t, "", "shop"),
			Uri: pick(t, nil, &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: "/x"}}),
		}}
	}
	if chance(t) {
		r.Mirror = destination(t)
	}
	return r
}

func destinationRule(t *rapid.T) mesh.Object {
	r := &networkingv1.DestinationRule{ObjectMeta: meta(t)}
	r.Spec.Host = pattern(t)
	r.Spec.ExportTo = exportTo(t)
	r.Spec.TrafficPolicy = trafficPolicy(t)
	for _, name := range []string{"v1", "v2"} {
		if chance(t) {
			r.Spec.Subsets = append(r.Spec.Subsets, &networking.Subset{Name: name, Labels: map[string]string{"version": name}, TrafficPolicy: trafficPolicy(t)})
		}
	}
	return object(mesh.KindDestinationRule, r.ObjectMeta, r)
}

func trafficPolicy(t *rapid.T) *networking.TrafficPolicy {
	if chance(t) {
		return nil
	}
	p := &networking.TrafficPolicy{}
	if chance(t) {
		p.Tls = &networking.ClientTLSSettings{Mode: pick(t, networking.ClientTLSSettings_DISABLE, networking.ClientTLSSettings_SIMPLE, networking.ClientTLSSettings_ISTIO_MUTUAL)}
	}
	if chance(t) {
		p.OutlierDetection = &networking.OutlierDetection{Interval: durationpb.New(0)}
	}
	if chance(t) {
		p.PortLevelSettings = []*networking.TrafficPolicy_PortTrafficPolicy{{Port: &networking.PortSelector{Number: 80}}}
	}
	return p
}
