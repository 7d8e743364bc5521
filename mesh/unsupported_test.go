package mesh

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networking "istio.io/api/networking/v1alpha3"
)

// Every name in the table is a field that exists: a misspelled one notes nothing.
func TestUnsupportedFieldsExist(t *testing.T) {
	known := map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptors)
	walk = func(messages protoreflect.MessageDescriptors) {
		for i := range messages.Len() {
			m := messages.Get(i)
			walk(m.Messages())
			for j := range m.Fields().Len() {
				d := m.Fields().Get(j)
				known[short(d.FullName())] = true
				if d.IsMap() {
					known[short(d.Message().FullName())] = true
				}
			}
		}
	}
	for _, m := range []proto.Message{&networking.VirtualService{}, &networking.DestinationRule{}} {
		walk(m.ProtoReflect().Descriptor().ParentFile().Messages())
	}
	for name := range unsupported {
		if !known[name] {
			t.Errorf("Istio has no field %s", name)
		}
	}
}

func TestUnsupportedPartsAreSaid(t *testing.T) {
	route := newRoute("shop", "a", "a", "a")
	route.Spec.Tls = []*networking.TLSRoute{{Match: []*networking.TLSMatchAttributes{{SniHosts: []string{"a"}}}, Route: []*networking.RouteDestination{{Destination: &networking.Destination{Host: "a"}}}}}
	route.Spec.Http[0].CorsPolicy = &networking.CorsPolicy{}
	route.Spec.Http[0].Match = []*networking.HTTPMatchRequest{{SourceLabels: map[string]string{"a": "b", "c": "d"}}}
	rule := newRule("shop", "a", "a", "v1")
	rule.Spec.TrafficPolicy = &networking.TrafficPolicy{
		Tls:          &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE},
		LoadBalancer: &networking.LoadBalancerSettings{LbPolicy: &networking.LoadBalancerSettings_Simple{Simple: networking.LoadBalancerSettings_PASSTHROUGH}},
	}
	s, _, problems := NewBuilder(testDomain).Apply(Update{Upserts: []Object{routeObject(route), ruleObject(rule)}})
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%s: %s", p.Field, p.Message))
	}
	want := []string{
		"spec.trafficPolicy.loadBalancer.simple: PASSTHROUGH is not supported: endpoints are picked as by default",
		"spec.trafficPolicy.tls.mode: mode SIMPLE is not supported: until then no server is spoken to",
		"spec.http[0].corsPolicy: it is not supported: requests of browsers from other origins are left to the application",
		"spec.http[0].match[0].sourceLabels[a]: it is not supported: the match never holds",
		"spec.tls[0]: it is not supported: the connections go to the service that was called",
	}
	if !slices.Equal(got, want) {
		t.Errorf("said\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	const host = "a.shop.svc.cluster.local"
	if len(s.Routes[host]) != 1 || len(s.DestinationRules[host]) != 1 {
		t.Error("the rest of the objects is not in force")
	}
}
