package build_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// large is a mesh of 1,000 services in 20 namespaces with three endpoints each.
func large(b *testing.B) *mesh.Snapshot {
	var u mesh.Update
	add := func(kind string, m metav1.ObjectMeta, value any) {
		u.Upserts = append(u.Upserts, mesh.Object{Ref: mesh.Ref{Kind: kind, Key: mesh.Key{Namespace: m.Namespace, Name: m.Name}}, Value: value})
	}
	name, port := "http", int32(8080)
	for i := range 1000 {
		meta := metav1.ObjectMeta{Namespace: fmt.Sprintf("ns-%d", i%20), Name: fmt.Sprintf("svc-%d", i)}
		svc := &corev1.Service{ObjectMeta: meta}
		svc.Spec = corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.96.%d.%d", i/250, i%250+1), Ports: []corev1.ServicePort{{Name: name, Port: 80}}}
		add(mesh.KindService, meta, svc)
		slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4}
		slice.Labels = map[string]string{discoveryv1.LabelServiceName: meta.Name}
		slice.Ports = []discoveryv1.EndpointPort{{Name: &name, Port: &port}}
		for j := range 3 {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: meta.Namespace, Name: fmt.Sprintf("%s-%d", meta.Name, j), Labels: map[string]string{"security.istio.io/tlsMode": "istio"}}}
			p.Spec.ServiceAccountName = meta.Name
			p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.%d.%d.%d", j, i/250, i%250+1)}
			add(mesh.KindPod, p.ObjectMeta, p)
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{p.Status.PodIP}})
		}
		add(mesh.KindEndpointSlice, meta, slice)
	}
	s, _, problems := mesh.NewBuilder(trustDomain).Apply(u)
	if len(problems) > 0 {
		b.Fatal(problems[0])
	}
	return s
}

// All that one scope gets.
func BenchmarkOutbound(b *testing.B) {
	s := large(b)
	for _, sc := range []build.Scope{{Namespace: "ns-1", VHDS: true}, {Namespace: "ns-1"}} {
		b.Run(fmt.Sprintf("vhds=%v", sc.VHDS), func(b *testing.B) {
			for b.Loop() {
				outbound(s, sc)
			}
		})
	}
}

// What one changed host costs each further scope that sees the same of it.
func BenchmarkVisible(b *testing.B) {
	s := large(b)
	for b.Loop() {
		build.Visible(s, build.Scope{Namespace: "ns-1", VHDS: true}, "svc-500.ns-0.svc.cluster.local")
	}
}

// What a changed service costs to follow.
func BenchmarkAffects(b *testing.B) {
	s := large(b)
	for b.Loop() {
		build.Affects(s, "svc-500.ns-0.svc.cluster.local")
	}
}
