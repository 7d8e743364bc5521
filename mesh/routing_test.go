package mesh

import (
	"reflect"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestHostsAreQualifiedAsInIstio(t *testing.T) {
	v := newRoute("shop", "v", "Reviews", "ratings")
	v.Spec.Hosts = append(v.Spec.Hosts, "api.example", "*.wild.example", "reviews.bank")
	v.Spec.Http[0].Route[0].Destination.Host = "ratings"
	v.Spec.Http[0].Mirror = &networking.Destination{Host: "shadow"}
	_, s := build(t, routeObject(v))
	want := []string{"*.wild.example", "api.example", "reviews.bank", reviews}
	got := s.Routes[reviews][0]
	if !reflect.DeepEqual(got.Hosts, want) || len(s.Routes) != 4 {
		t.Errorf("hosts %v, want %v", got.Hosts, want)
	}
	http := got.Spec.Http[0]
	if http.Route[0].Destination.Host != "ratings.shop.svc.cluster.local" || http.Mirror.Host != "shadow.shop.svc.cluster.local" {
		t.Errorf("destinations are not qualified: %+v", http)
	}
	if v.Spec.Hosts[0] != "Reviews" || v.Spec.Http[0].Route[0].Destination.Host != "ratings" {
		t.Error("the user's object was changed")
	}
}

func TestRoutesOfOneHostOldestFirst(t *testing.T) {
	at := func(name string, created int64) Object {
		v := newRoute("shop", name, "reviews", "reviews")
		v.CreationTimestamp = metav1.Unix(created, 0)
		return routeObject(v)
	}
	s, _, _ := NewBuilder(testDomain).Apply(Update{Upserts: []Object{at("c", 1), at("b", 2), at("a", 2), at("d", 0)}})
	var names string
	for _, v := range s.Routes[reviews] {
		names += v.Ref.Name
	}
	if names != "dcab" {
		t.Errorf("order %s, want dcab", names)
	}
}

func TestGateways(t *testing.T) {
	match := func(gateways ...string) *networking.HTTPMatchRequest {
		return &networking.HTTPMatchRequest{Gateways: gateways}
	}
	v := newRoute("shop", "v", "reviews", "a")
	v.Spec.Gateways = []string{"edge", "mesh"}
	http := func(destination string, m ...*networking.HTTPMatchRequest) *networking.HTTPRoute {
		return &networking.HTTPRoute{Match: m, Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: destination}}}}
	}
	v.Spec.Http = []*networking.HTTPRoute{http("edge", match("edge")), http("both", match("edge"), match("mesh")), http("any", match()), http("rest")}
	edge := newRoute("shop", "edge", "reviews", "b")
	edge.Spec.Gateways = []string{"edge"}
	_, s := build(t, routeObject(v), routeObject(edge))
	if len(s.Routes[reviews]) != 1 {
		t.Fatalf("routes %+v", s.Routes[reviews])
	}
	var got []string
	for _, r := range s.Routes[reviews][0].Spec.Http {
		got = append(got, r.Route[0].Destination.Host)
		if len(r.Match) > 1 {
			t.Errorf("a match for another gateway is left: %v", r.Match)
		}
	}
	if want := []string{"both.shop.svc.cluster.local", "any.shop.svc.cluster.local", "rest.shop.svc.cluster.local"}; !reflect.DeepEqual(got, want) {
		t.Errorf("routes to %v, want %v", got, want)
	}
}

func TestExportTo(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{nil, []string{"*"}}, {[]string{"."}, []string{"shop"}}, {[]string{"~"}, []string{"~"}},
		{[]string{"bank", ".", "bank"}, []string{"bank", "shop"}}, {[]string{".", "*"}, []string{"*"}}, {[]string{"~", "bank"}, []string{"bank"}},
	} {
		v := newRoute("shop", "v", "reviews", "a")
		v.Spec.ExportTo = c.in
		_, s := build(t, routeObject(v))
		if got := s.Routes[reviews][0].ExportTo; !reflect.DeepEqual(got, c.want) {
			t.Errorf("exportTo %v is %v, want %v", c.in, got, c.want)
		}
	}
}

func TestBadRouteKeepsLastGood(t *testing.T) {
	for name, spoil := range map[string]func(v *networkingv1.VirtualService){
		"null route":     func(v *networkingv1.VirtualService) { v.Spec.Http = append(v.Spec.Http, nil) },
		"null match":     func(v *networkingv1.VirtualService) { v.Spec.Http[0].Match = []*networking.HTTPMatchRequest{nil} },
		"null weight":    func(v *networkingv1.VirtualService) { v.Spec.Http[0].Route = []*networking.HTTPRouteDestination{nil} },
		"no destination": func(v *networkingv1.VirtualService) { v.Spec.Http[0].Route[0].Destination = nil },
		"line feed":      func(v *networkingv1.VirtualService) { v.Spec.Http[0].Name = "a\nb" },
		"not UTF-8":      func(v *networkingv1.VirtualService) { v.Spec.Http[0].Name = "a\xff" },
	} {
		t.Run(name, func(t *testing.T) {
			b, before := build(t, routeObject(newRoute("shop", "v", "reviews", "a")))
			bad := newRoute("shop", "v", "reviews", "b")
			spoil(bad)
			s, changes, problems := b.Apply(Update{Upserts: []Object{routeObject(bad)}})
			if s != before || !changes.Empty() || len(problems) == 0 {
				t.Errorf("changes %+v, problems %+v", changes, problems)
			}
		})
	}
}
