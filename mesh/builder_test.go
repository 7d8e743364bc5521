package mesh

import (
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

func TestEmptyMesh(t *testing.T) {
	b := NewBuilder(testDomain)
	s, changes, problems := b.Apply(Update{})
	if *s.Config != (Config{"istio-system", "cluster.local", true, true}) || s.TrustDomain != testDomain || !changes.Empty() || len(problems) != 0 {
		t.Errorf("got %+v, %+v, %+v", s, changes, problems)
	}
}

// An object that only moved in its file changes nothing but where its problems are.
func TestMovedObjectIsNoChange(t *testing.T) {
	service := newService("shop", "reviews", "reviews")
	service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: "odd", Port: 0})
	o := serviceObject(service)
	o.Ref.Where = "a.yaml:1"
	b := NewBuilder(testDomain)
	before, _, _ := b.Apply(Update{Upserts: []Object{o}})
	o.Ref.Where = "a.yaml:9"
	s, changes, problems := b.Apply(Update{Upserts: []Object{o}})
	if s != before || !changes.Empty() || len(problems) != 1 || problems[0].Ref.Where != "a.yaml:9" {
		t.Errorf("changes %+v, problems %+v", changes, problems)
	}
	again := serviceObject(service.DeepCopy())
	if s, changes, _ = b.Apply(Update{Upserts: []Object{again}}); s != before || !changes.Empty() {
		t.Errorf("an equal copy changes %+v", changes)
	}
}

func TestProtocols(t *testing.T) {
	h2c, grpc := "kubernetes.io/h2c", "grpc"
	for name, c := range map[string]struct {
		app  *string
		want Protocol
	}{
		"http": {nil, HTTP}, "http-web": {nil, HTTP}, "HTTP2": {nil, HTTP2}, "grpc-x": {nil, HTTP2}, "grpc-web-x": {nil, HTTP2},
		"https": {nil, TCP}, "tls": {nil, TCP}, "mongo": {nil, TCP}, "": {nil, TCP}, "httpx": {nil, TCP},
		"tcp": {&h2c, HTTP2}, "http-y": {&grpc, HTTP2},
	} {
		if got := protocolOf(c.app, name); got != c.want {
			t.Errorf("port %q is %s, want %s", name, got, c.want)
		}
	}
}

func TestServiceBeforeEntryForOneHost(t *testing.T) {
	entry := entryObject(newEntry("shop", "e", reviews, "10.9.9.9"))
	b := NewBuilder(testDomain)
	s, _, _ := b.Apply(Update{Upserts: []Object{entry}})
	if s.Services[reviews].Ref.Kind != KindServiceEntry || len(s.Endpoints[reviews].Ports[80]) != 1 {
		t.Fatalf("the entry alone: %+v", s.Services[reviews])
	}
	s, changes, problems := b.Apply(Update{Upserts: []Object{serviceObject(newService("shop", "reviews", "r"))}})
	if s.Services[reviews].Ref.Kind != KindService || !changes.Services.Has(reviews) || !changes.Endpoints.Has(reviews) || len(problems) != 1 || problems[0].Ref.Name != "e" {
		t.Errorf("beside the service: %+v, %+v", changes, problems)
	}
	s, _, problems = b.Apply(Update{Deletes: []Ref{{Kind: KindService, Key: Key{"shop", "reviews"}}}})
	if s.Services[reviews].Ref.Kind != KindServiceEntry || len(problems) != 0 {
		t.Errorf("after the service: %+v, %+v", s.Services[reviews], problems)
	}
}

func TestEntry(t *testing.T) {
	e := newEntry("shop", "e", "Vault.Example", "10.9.0.1", "10.0.0.5")
	e.Spec.SubjectAltNames = []string{"spiffe://other.org/ns/x/sa/y"}
	e.Spec.Endpoints[0].ServiceAccount, e.Spec.Endpoints[0].Weight, e.Spec.Endpoints[0].Locality = "vault", 3, "eu/eu-1/a"
	e.Spec.Endpoints[0].Labels = map[string]string{sidecarLabel: sidecarMTLS}
	_, s := build(t, entryObject(e), podObject(newPod("shop", "p", "10.0.0.5", "pod", nil)))
	got := s.Endpoints["vault.example"]
	if len(got.Accounts) != 3 || len(got.Ports[80]) != 2 {
		t.Fatalf("got %+v", got)
	}
	vm, pod := got.Ports[80][1], got.Ports[80][0]
	if vm.Account != spiffe("shop", "vault") || !vm.MTLS || vm.Weight != 3 || vm.Region != "eu" || vm.Zone != "eu-1" || vm.Port != 8080 {
		t.Errorf("endpoint %+v", vm)
	}
	if pod.Account != spiffe("shop", "pod") || pod.Workload.Name != "p" || !pod.MTLS {
		t.Errorf("endpoint of a pod %+v", pod)
	}
	e = e.DeepCopy()
	e.Spec.Location = networking.ServiceEntry_MESH_EXTERNAL
	if _, s = build(t, entryObject(e)); !s.Services["vault.example"].External || s.Endpoints["vault.example"].Ports[80][0].MTLS {
		t.Error("an external host takes no mTLS of the mesh's")
	}
}

func TestMeshConfig(t *testing.T) {
	config := func(text string) Object {
		return object(KindConfigMap, "istio-system", "istio", &corev1.ConfigMap{Data: map[string]string{"mesh": text}})
	}
	b, s := build(t, config("trustDomain: cluster.local\nenableAutoMtls: false\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\nrootNamespace: mesh-root\nconnectTimeout: 250ms"))
	if *s.Config != (Config{"mesh-root", "cluster.local", false, false}) {
		t.Errorf("got %+v", s.Config)
	}
	for _, bad := range []string{"unknownField: 1", "trustDomain: example.org", "a: [", "enableAutoMtls: true\nenableAutoMtls: true"} {
		next, changes, problems := b.Apply(Update{Upserts: []Object{config(bad)}})
		if next != s || !changes.Empty() || len(problems) != 1 {
			t.Errorf("%s: last good is gone: %+v, %+v", bad, changes, problems)
		}
		if closed, _, _ := NewBuilder(testDomain).Apply(Update{Upserts: []Object{config(bad)}}); closed.Config.Passthrough {
			t.Errorf("%s: without a last good one unknown destinations must be blocked", bad)
		}
	}
	s, _, problems := b.Apply(Update{Deletes: []Ref{{Kind: KindConfigMap, Key: Key{"istio-system", "istio"}}}})
	if *s.Config != *defaultConfig() || len(problems) != 0 {
		t.Errorf("after the delete: %+v, %+v", s.Config, problems)
	}
}

// TestOddObjects: what a source could hand over by mistake is refused, not fatal.
func TestOddObjects(t *testing.T) {
	var nilPod *corev1.Pod
	for name, o := range map[string]Object{
		"nil":               object(KindPod, "shop", "p", nil),
		"nil pointer":       object(KindPod, "shop", "p", nilPod),
		"unknown type":      object(KindPod, "shop", "p", "a pod"),
		"other kind":        object("Secret", "shop", "p", &corev1.Secret{}),
		"unreadable pod":    object(KindPod, "shop", "p", &Unreadable{}),
		"no name":           object(KindPod, "shop", "", &corev1.Pod{}),
		"no namespace":      object(KindPod, "", "p", &corev1.Pod{}),
		"slash":             object(KindPod, "a/b", "p", &corev1.Pod{}),
		"namespaced":        object(KindNamespace, "a", "p", &corev1.Namespace{}),
		"dots in a service": object(KindService, "a", "b.c", &corev1.Service{}),
	} {
		s, changes, problems := NewBuilder(testDomain).Apply(Update{Upserts: []Object{o}})
		if !changes.Empty() || len(s.Workloads)+len(s.Services)+len(s.Namespaces) > 0 || len(problems) != 1 {
			t.Errorf("%s: changes %+v, problems %+v", name, changes, problems)
		}
	}
	empty := []Object{
		object(KindNamespace, "", "a", &corev1.Namespace{}), object(KindServiceAccount, "a", "a", &corev1.ServiceAccount{}),
		object(KindService, "a", "a", &corev1.Service{}), object(KindPod, "a", "a", &corev1.Pod{}),
		object(KindConfigMap, "istio-system", "istio", &corev1.ConfigMap{}), object(KindEndpointSlice, "a", "a", &discoveryv1.EndpointSlice{}),
		object(KindServiceEntry, "a", "a", &networkingv1.ServiceEntry{}), object(KindVirtualService, "a", "a", &networkingv1.VirtualService{}),
		object(KindDestinationRule, "a", "a", &networkingv1.DestinationRule{}), object(KindPeerAuthentication, "a", "a", &securityv1.PeerAuthentication{}),
		object(KindAuthorizationPolicy, "a", "a", &securityv1.AuthorizationPolicy{}),
	}
	NewBuilder(testDomain).Apply(Update{Upserts: empty})
}
