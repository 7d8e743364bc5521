package mesh

import (
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestServicePorts(t *testing.T) {
	h2c := "kubernetes.io/h2c"
	in := []corev1.ServicePort{
		{Name: "tls", Port: 443, TargetPort: intstr.FromInt32(8443)},
		{Name: "http-web", Port: 80, TargetPort: intstr.FromString("web")},
		{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
		{Name: "x", Port: 81, AppProtocol: &h2c},
	}
	f := &findings{}
	got := servicePorts(in, f)
	want := []portTarget{
		{ServicePort{"http-web", 80, HTTP}, 0, "web"},
		{ServicePort{"x", 81, HTTP2}, 81, ""},
		{ServicePort{"tls", 443, TCP}, 8443, ""},
	}
	if !reflect.DeepEqual(got, want) || len(f.list) > 0 {
		t.Errorf("got %+v, problems %+v", got, f.list)
	}
}

func TestServiceKinds(t *testing.T) {
	for name, c := range map[string]struct {
		change    func(s *corev1.Service)
		addresses []string
	}{
		"cluster IP": {func(*corev1.Service) {}, []string{"10.96.0.10"}},
		"headless":   {func(s *corev1.Service) { s.Spec.ClusterIP = "None" }, nil},
		"dual stack": {func(s *corev1.Service) { s.Spec.ClusterIPs = []string{"10.96.0.10", "fd00::a"} }, []string{"10.96.0.10", "fd00::a"}},
		"node port":  {func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort }, []string{"10.96.0.10"}},
	} {
		svc := newService("shop", "reviews", "reviews")
		c.change(svc)
		_, s := build(t, serviceObject(svc))
		if got := s.Services[reviews]; got == nil || !slices.Equal(got.Addresses, c.addresses) || s.Endpoints[reviews] == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	external := newService("shop", "reviews", "")
	external.Spec.Type = corev1.ServiceTypeExternalName
	b, _ := build(t, serviceObject(newService("shop", "reviews", "reviews")))
	s, changes, problems := b.Apply(Update{Upserts: []Object{serviceObject(external)}})
	if len(s.Services) != 0 || !changes.Services.Has(reviews) || len(problems) != 1 {
		t.Errorf("ExternalName: %+v, %+v", s.Services, problems)
	}
}

func TestServiceExportTo(t *testing.T) {
	for text, want := range map[string][]string{"": {"*"}, ".": {"shop"}, "bank, .": {"bank", "shop"}, "~": {"~"}} {
		svc := newService("shop", "reviews", "reviews")
		svc.Annotations = map[string]string{exportToAnnotation: text}
		_, s := build(t, serviceObject(svc))
		if got := s.Services[reviews].ExportTo; !slices.Equal(got, want) {
			t.Errorf("exportTo %q is %v, want %v", text, got, want)
		}
	}
}

func TestPortsIndex(t *testing.T) {
	second := newService("bank", "a", "a")
	b := NewBuilder(testDomain)
	s, _, _ := b.Apply(Update{Upserts: []Object{serviceObject(newService("shop", "reviews", "reviews")), serviceObject(second)}})
	if got, want := s.Ports[80], []string{"a.bank.svc.cluster.local", reviews}; !slices.Equal(got, want) {
		t.Errorf("port 80: %v, want %v", got, want)
	}
	if got := s.Addresses["10.96.0.10"]; len(got) != 2 {
		t.Errorf("address: %v", got)
	}
	second = second.DeepCopy()
	second.Spec.Ports[0].Port, second.Spec.ClusterIP = 81, "None"
	next, _ := apply(t, b, serviceObject(second))
	if !slices.Equal(next.Ports[80], []string{reviews}) || len(next.Ports[81]) != 1 || len(next.Addresses["10.96.0.10"]) != 1 {
		t.Errorf("after the change: %v, %v", next.Ports, next.Addresses)
	}
	if len(s.Ports[80]) != 2 || len(s.Ports[81]) != 0 {
		t.Error("the snapshot before was changed")
	}
	last, _, _ := b.Apply(Update{Deletes: []Ref{{Kind: KindService, Key: Key{"bank", "a"}}}})
	if _, ok := last.Ports[81]; ok {
		t.Errorf("port 81 has no service any more: %v", last.Ports)
	}
}
