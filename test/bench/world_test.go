package bench

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/protobuf/types/known/durationpb"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	securityv1 "istio.io/client-go/pkg/apis/security/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/ensign-mesh/ensign/mesh"
)

// The size of the mesh.
const (
	namespaces = 20
	services   = 1000
	streams    = 200
)

var trustDomain = spiffeid.RequireTrustDomainFromString("cluster.local")

// world is the mesh as objects, the way a source hands them over.
type world struct {
	builder *mesh.Builder
	nextIP  netip.Addr
	rounds  int
}

func newWorld(b *testing.B) (*world, *mesh.Snapshot) {
	w := &world{builder: mesh.NewBuilder(trustDomain), nextIP: netip.MustParseAddr("10.1.0.1")}
	var all []mesh.Object
	all = append(all, w.strict())
	for i := range namespaces {
		ns := namespace(i)
		all = append(all, object(mesh.KindNamespace, "", ns, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}))
	}
	for i := range services {
		all = append(all, w.service(i)...)
		if i%10 == 0 {
			all = append(all, w.route(i, time.Second))
		}
	}
	snap, _, problems := w.builder.Apply(mesh.Update{Upserts: all})
	if len(problems) > 0 {
		b.Fatalf("%d problems, the first: %+v", len(problems), problems[0])
	}
	return w, snap
}

func object(kind, ns, name string, value any) mesh.Object {
	return mesh.Object{Ref: mesh.Ref{Kind: kind, Key: mesh.Key{Namespace: ns, Name: name}}, Value: value}
}

func meta(ns, name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: ns, Name: name} }

func namespace(i int) string { return fmt.Sprintf("ns-%02d", i%namespaces) }
func named(i int) string     { return fmt.Sprintf("service-%04d", i) }

// strict is mTLS for the whole mesh.
func (w *world) strict() mesh.Object {
	p := &securityv1.PeerAuthentication{ObjectMeta: meta("istio-system", "default")}
	p.Spec.Mtls = &security.PeerAuthentication_MutualTLS{Mode: security.PeerAuthentication_MutualTLS_STRICT}
	return object(mesh.KindPeerAuthentication, "istio-system", "default", p)
}

// service is a service with its own account and two to five pods.
func (w *world) service(i int) []mesh.Object {
	ns, name := namespace(i), named(i)
	svc := &corev1.Service{ObjectMeta: meta(ns, name)}
	svc.Spec.ClusterIP = fmt.Sprintf("10.96.%d.%d", i/250, i%250+1)
	svc.Spec.Selector = map[string]string{"app": name}
	svc.Spec.Ports = []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}
	all := []mesh.Object{
		object(mesh.KindServiceAccount, ns, name, &corev1.ServiceAccount{ObjectMeta: meta(ns, name)}),
		object(mesh.KindService, ns, name, svc),
	}
	var pods []*corev1.Pod
	for p := range 2 + i%4 {
		pod := w.pod(ns, name, p)
		pods = append(pods, pod)
		all = append(all, object(mesh.KindPod, ns, pod.Name, pod))
	}
	return append(all, w.slice(ns, name, pods))
}

func (w *world) pod(ns, name string, i int) *corev1.Pod {
	w.nextIP = w.nextIP.Next()
	p := &corev1.Pod{ObjectMeta: meta(ns, podName(name, i))}
	p.Labels = map[string]string{"app": name, "security.istio.io/tlsMode": "istio"}
	p.Spec.ServiceAccountName = name
	p.Spec.Containers = []corev1.Container{{Name: "app", Ports: []corev1.ContainerPort{{ContainerPort: 8080}}}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: w.nextIP.String()}
	return p
}

func podName(service string, i int) string { return fmt.Sprintf("%s-%d", service, i) }

func (w *world) slice(ns, name string, pods []*corev1.Pod) mesh.Object {
	portName, port, ready := "http", int32(8080), true
	s := &discoveryv1.EndpointSlice{ObjectMeta: meta(ns, name), AddressType: discoveryv1.AddressTypeIPv4}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: name}
	s.Ports = []discoveryv1.EndpointPort{{Name: &portName, Port: &port}}
	for _, p := range pods {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.Status.PodIP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: p.Name},
		})
	}
	return object(mesh.KindEndpointSlice, ns, name, s)
}

func (w *world) route(i int, timeout time.Duration) mesh.Object {
	ns, name := namespace(i), named(i)
	host := name + "." + ns + ".svc.cluster.local"
	v := &networkingv1.VirtualService{ObjectMeta: meta(ns, name)}
	v.Spec.Hosts = []string{host}
	v.Spec.Http = []*networking.HTTPRoute{{
		Route:   []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: host}}},
		Timeout: durationpb.New(timeout),
	}}
	return object(mesh.KindVirtualService, ns, name, v)
}

// policy denies one path in the whole mesh.
func (w *world) policy(path string) mesh.Object {
	p := &securityv1.AuthorizationPolicy{ObjectMeta: meta("istio-system", "guard")}
	p.Spec.Action = security.AuthorizationPolicy_DENY
	p.Spec.Rules = []*security.Rule{{To: []*security.Rule_To{{Operation: &security.Operation{Paths: []string{path}}}}}}
	return object(mesh.KindAuthorizationPolicy, "istio-system", "guard", p)
}

// oneEndpoint is one more pod behind an old service.
func (w *world) oneEndpoint() []mesh.Object {
	w.rounds++
	i := w.rounds % services
	ns, name := namespace(i), named(i)
	pod := w.pod(ns, name, 100+w.rounds)
	return []mesh.Object{object(mesh.KindPod, ns, pod.Name, pod), w.slice(ns, name, []*corev1.Pod{pod})}
}

// oneService is a service that was not there.
func (w *world) oneService() []mesh.Object {
	w.rounds++
	return w.service(services + w.rounds)
}

// oneRoute is another timeout of one route.
func (w *world) oneRoute() []mesh.Object {
	w.rounds++
	return []mesh.Object{w.route(w.rounds%100*10, time.Duration(w.rounds+1)*time.Second)}
}

// onePolicy is another path of a policy that holds for every workload.
func (w *world) onePolicy() []mesh.Object {
	w.rounds++
	return []mesh.Object{w.policy(fmt.Sprintf("/secret-%d", w.rounds))}
}
