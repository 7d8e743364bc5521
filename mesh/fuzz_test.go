package mesh

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// FuzzBuilder hands over objects as no decoder would make them: Istio's specs
// from any protobuf text on the wire, Kubernetes' from any JSON. The builder
// never panics, every service has its endpoints, and nothing depends on whether
// the object came first or last.
func FuzzBuilder(f *testing.F) {
	world := []Object{
		podObject(newPod("shop", "web-1", "10.0.0.1", "web", map[string]string{"app": "web"})),
		serviceObject(newService("shop", "web", "web")), sliceObject(newSlice("shop", "web", "10.0.0.1")),
	}
	for kind, m := range []proto.Message{
		&newRoute("shop", "x", "web", "web").Spec, &newRule("shop", "x", "web", "v1").Spec, &newEntry("shop", "x", "x.example", "10.0.0.1").Spec,
		&newPeer("shop", "x", modeStrict, nil).Spec, &newPolicy("shop", "x", allow, fromPrincipal("cluster.local/ns/a/sa/b")).Spec,
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(kind), raw)
	}
	for kind, v := range []any{newPod("shop", "x", "10.0.0.2", "", nil), newService("shop", "x", "web"), newSlice("shop", "x", "10.0.0.1")} {
		raw, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(5+kind), raw)
	}
	f.Add(uint8(8), []byte(`{"data":{"mesh":"rootNamespace: a"}}`))
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		o, ok := oddObject(kind, raw)
		if !ok {
			return
		}
		last, _, _ := NewBuilder(testDomain).Apply(Update{Upserts: append(world[:len(world):len(world)], o)})
		b := NewBuilder(testDomain)
		b.Apply(Update{Upserts: []Object{o}})
		first, _, _ := b.Apply(Update{Upserts: world})
		checkSame(t, last, first)
		checkShared(t, last)
	})
}

func oddObject(kind uint8, raw []byte) (Object, bool) {
	specs := []struct {
		kind  string
		value any
		spec  proto.Message
	}{
		routeSpec(), ruleSpec(), entrySpec(), peerSpec(), policySpec(),
		{KindPod, &corev1.Pod{}, nil}, {KindService, &corev1.Service{}, nil}, {KindEndpointSlice, &discoveryv1.EndpointSlice{}, nil},
		{KindConfigMap, &corev1.ConfigMap{}, nil},
	}
	s := specs[int(kind)%len(specs)]
	if s.spec != nil {
		return object(s.kind, "shop", "x", s.value), proto.UnmarshalOptions{}.Unmarshal(raw, s.spec) == nil
	}
	if s.kind == KindConfigMap {
		return object(s.kind, "istio-system", "istio", s.value), json.Unmarshal(raw, s.value) == nil
	}
	return object(s.kind, "shop", "x", s.value), json.Unmarshal(raw, s.value) == nil
}

type oddSpec = struct {
	kind  string
	value any
	spec  proto.Message
}

func routeSpec() oddSpec {
	o := &networkingv1.VirtualService{}
	return oddSpec{KindVirtualService, o, &o.Spec}
}

func ruleSpec() oddSpec {
	o := &networkingv1.DestinationRule{}
	return oddSpec{KindDestinationRule, o, &o.Spec}
}

func entrySpec() oddSpec {
	o := &networkingv1.ServiceEntry{}
	return oddSpec{KindServiceEntry, o, &o.Spec}
}

func peerSpec() oddSpec {
	o := &securityv1.PeerAuthentication{}
	return oddSpec{KindPeerAuthentication, o, &o.Spec}
}

func policySpec() oddSpec {
	o := &securityv1.AuthorizationPolicy{}
	return oddSpec{KindAuthorizationPolicy, o, &o.Spec}
}
