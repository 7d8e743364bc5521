package mesh

import (
	"fmt"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var (
	testDomain    = spiffeid.RequireTrustDomainFromString("cluster.local")
	exampleDomain = spiffeid.RequireTrustDomainFromString("example.org")
)

// The constructors below make the plainest object of a kind; tests change what they are about.

func meta(ns, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: ns, Name: name}
}

func object(kind, ns, name string, value any) Object {
	return Object{Ref: Ref{Kind: kind, Key: Key{ns, name}}, Value: value}
}

func newPod(ns, name, ip, account string, labels map[string]string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(ns, name)}
	p.Labels = map[string]string{sidecarLabel: sidecarMTLS}
	for k, v := range labels {
		p.Labels[k] = v
	}
	p.Spec.ServiceAccountName = account
	p.Spec.Containers = []corev1.Container{{Name: "app", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip}
	return p
}

func podObject(p *corev1.Pod) Object { return object(KindPod, p.Namespace, p.Name, p) }

func newService(ns, name, app string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: meta(ns, name)}
	s.Spec.ClusterIP = "10.96.0.10"
	s.Spec.Selector = map[string]string{"app": app}
	s.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("web")}}
	return s
}

func serviceObject(s *corev1.Service) Object { return object(KindService, s.Namespace, s.Name, s) }

func newSlice(ns, service string, ips ...string) *discoveryv1.EndpointSlice {
	name, port := "http", int32(8080)
	s := &discoveryv1.EndpointSlice{ObjectMeta: meta(ns, service+"-1"), AddressType: discoveryv1.AddressTypeIPv4}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	s.Ports = []discoveryv1.EndpointPort{{Name: &name, Port: &port}}
	for _, ip := range ips {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}})
	}
	return s
}

func sliceObject(s *discoveryv1.EndpointSlice) Object {
	return object(KindEndpointSlice, s.Namespace, s.Name, s)
}

func newPeer(ns, name string, mode security.PeerAuthentication_MutualTLS_Mode, labels map[string]string) *securityv1.PeerAuthentication {
	p := &securityv1.PeerAuthentication{ObjectMeta: meta(ns, name)}
	p.Spec.Mtls = &security.PeerAuthentication_MutualTLS{Mode: mode}
	if labels != nil {
		p.Spec.Selector = &typev1beta1.WorkloadSelector{MatchLabels: labels}
	}
	return p
}

func peerObject(p *securityv1.PeerAuthentication) Object {
	return object(KindPeerAuthentication, p.Namespace, p.Name, p)
}

func newPolicy(ns, name string, action security.AuthorizationPolicy_Action, rules ...*security.Rule) *securityv1.AuthorizationPolicy {
	p := &securityv1.AuthorizationPolicy{ObjectMeta: meta(ns, name)}
	p.Spec.Action, p.Spec.Rules = action, rules
	return p
}

func policyObject(p *securityv1.AuthorizationPolicy) Object {
	return object(KindAuthorizationPolicy, p.Namespace, p.Name, p)
}

func fromPrincipal(principals ...string) *security.Rule {
	return &security.Rule{From: []*security.Rule_From{{Source: &security.Source{Principals: principals}}}}
}

func newRoute(ns, name, host, destination string) *networkingv1.VirtualService {
	v := &networkingv1.VirtualService{ObjectMeta: meta(ns, name)}
	v.Spec.Hosts = []string{host}
	v.Spec.Http = []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: destination}}}}}
	return v
}

func routeObject(v *networkingv1.VirtualService) Object {
	return object(KindVirtualService, v.Namespace, v.Name, v)
}

func newRule(ns, name, host string, subsets ...string) *networkingv1.DestinationRule {
	r := &networkingv1.DestinationRule{ObjectMeta: meta(ns, name)}
	r.Spec.Host = host
	for _, s := range subsets {
		r.Spec.Subsets = append(r.Spec.Subsets, &networking.Subset{Name: s, Labels: map[string]string{"version": s}})
	}
	return r
}

func ruleObject(r *networkingv1.DestinationRule) Object {
	return object(KindDestinationRule, r.Namespace, r.Name, r)
}

func newEntry(ns, name, host string, ips ...string) *networkingv1.ServiceEntry {
	e := &networkingv1.ServiceEntry{ObjectMeta: meta(ns, name)}
	e.Spec.Hosts = []string{host}
	e.Spec.Location = networking.ServiceEntry_MESH_INTERNAL
	e.Spec.Resolution = networking.ServiceEntry_STATIC
	e.Spec.Ports = []*networking.ServicePort{{Name: "http", Number: 80, Protocol: "HTTP", TargetPort: 8080}}
	for _, ip := range ips {
		e.Spec.Endpoints = append(e.Spec.Endpoints, &networking.WorkloadEntry{Address: ip})
	}
	return e
}

func entryObject(e *networkingv1.ServiceEntry) Object {
	return object(KindServiceEntry, e.Namespace, e.Name, e)
}

// build is the snapshot of a mesh of these objects, which must have no problem.
func build(t *testing.T, objects ...Object) (*Builder, *Snapshot) {
	t.Helper()
	b := NewBuilder(testDomain)
	s, _, problems := b.Apply(Update{Upserts: objects})
	if len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	return b, s
}

func apply(t *testing.T, b *Builder, objects ...Object) (*Snapshot, ChangeSet) {
	t.Helper()
	s, c, problems := b.Apply(Update{Upserts: objects})
	if len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	return s, c
}

func spiffe(ns, account string) spiffeid.ID {
	return spiffeid.RequireFromString(fmt.Sprintf("spiffe://cluster.local/ns/%s/sa/%s", ns, account))
}

// largePolicy lets one account call one service of the large mesh.
func largePolicy(service int, account string) *securityv1.AuthorizationPolicy {
	p := newPolicy(fmt.Sprintf("ns-%d", service%20), fmt.Sprintf("allow-%d", service), security.AuthorizationPolicy_ALLOW,
		fromPrincipal("cluster.local/ns/shop/sa/"+account))
	p.Spec.Selector = &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": fmt.Sprintf("svc-%d", service)}}
	return p
}
