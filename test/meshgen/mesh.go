package meshgen

import (
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/mesh"
)

// TrustDomain is that of every drawn mesh.
var TrustDomain = spiffeid.RequireTrustDomainFromString("cluster.local")

// Namespaces are those that objects are drawn in; svc looks like a part of a
// host name, istio-system is the root namespace.
var Namespaces = []string{"shop", "stock", "svc", "istio-system"}

// Mesh is a mesh of up to size objects, one for each name.
func Mesh(t *rapid.T, size int) []mesh.Object {
	byRef := map[mesh.Ref]mesh.Object{}
	var order []mesh.Ref
	for range rapid.IntRange(0, size).Draw(t, "size") {
		o := Object(t)
		if _, had := byRef[o.Ref]; !had {
			order = append(order, o.Ref)
		}
		byRef[o.Ref] = o
	}
	var out []mesh.Object
	for _, ref := range order {
		out = append(out, byRef[ref])
	}
	return out
}

// Object is one object of any kind that clients' configuration depends on.
func Object(t *rapid.T) mesh.Object {
	draw := rapid.SampledFrom([]func(*rapid.T) mesh.Object{service, service, pod, slice, entry, virtualService, virtualService, destinationRule, config}).Draw(t, "kind")
	return draw(t)
}

func pick[T any](t *rapid.T, from ...T) T { return rapid.SampledFrom(from).Draw(t, "pick") }

func chance(t *rapid.T) bool { return rapid.Bool().Draw(t, "chance") }

// meta is an object's name, of few, and its age, of few.
func meta(t *rapid.T) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: pick(t, Namespaces...), Name: pick(t, "a", "b", "svc"),
		CreationTimestamp: metav1.Unix(pick[int64](t, 0, int64(time.Hour)), 0),
	}
}

func object(kind string, m metav1.ObjectMeta, value any) mesh.Object {
	return mesh.Object{Ref: mesh.Ref{Kind: kind, Key: mesh.Key{Namespace: m.Namespace, Name: m.Name}}, Value: value}
}

// address is one of few virtual IPs.
func address(t *rapid.T) string { return pick(t, "10.96.0.1", "10.96.0.2", "fd00::1") }

func podAddress(t *rapid.T) string { return pick(t, "10.0.0.1", "10.0.0.2", "10.0.0.3") }

func service(t *rapid.T) mesh.Object {
	s := &corev1.Service{ObjectMeta: meta(t)}
	s.Spec.ClusterIP = pick(t, "None", address(t))
	s.Spec.Selector = map[string]string{"app": s.Name}
	for _, p := range []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "tcp", Port: 81}, {Name: "grpc", Port: 8080}} {
		if chance(t) {
			s.Spec.Ports = append(s.Spec.Ports, p)
		}
	}
	if chance(t) {
		s.Annotations = map[string]string{"networking.istio.io/exportTo": pick(t, ".", "*", "shop", "~")}
	}
	return object(mesh.KindService, s.ObjectMeta, s)
}

func pod(t *rapid.T) mesh.Object {
	p := &corev1.Pod{ObjectMeta: meta(t)}
	p.Labels = map[string]string{"app": pick(t, "a", "b", "svc"), "version": pick(t, "v1", "v2")}
	if chance(t) {
		p.Labels["security.istio.io/tlsMode"] = "istio"
		p.Labels["topology.kubernetes.io/zone"] = pick(t, "x", "y")
	}
	p.Spec.ServiceAccountName = pick(t, "a", "b")
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: podAddress(t)}
	return object(mesh.KindPod, p.ObjectMeta, p)
}

func slice(t *rapid.T) mesh.Object {
	s := &discoveryv1.EndpointSlice{ObjectMeta: meta(t), AddressType: discoveryv1.AddressTypeIPv4}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: pick(t, "a", "b", "svc")}
	for i, name := range []string{"http", "tcp", "grpc"} {
		port := int32(8080 + i)
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port})
	}
	for range rapid.IntRange(0, 3).Draw(t, "endpoints") {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{podAddress(t)}})
	}
	return object(mesh.KindEndpointSlice, s.ObjectMeta, s)
}

func config(t *rapid.T) mesh.Object {
	c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "istio"}}
	c.Data = map[string]string{"mesh": fmt.Sprintf("outboundTrafficPolicy: {mode: %s}\nenableAutoMtls: %v", pick(t, "ALLOW_ANY", "REGISTRY_ONLY"), chance(t))}
	return object(mesh.KindConfigMap, c.ObjectMeta, c)
}
