package mesh

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestInboundPorts(t *testing.T) {
	web := map[string]string{"app": "web"}
	first, second, third := newService("shop", "a", "web"), newService("shop", "b", "web"), newService("shop", "c", "none")
	third.Spec.ClusterIP = corev1.ClusterIPNone
	first.Spec.Ports = []corev1.ServicePort{
		{Name: "http", Port: 80, TargetPort: intstr.FromString("web")},
		{Name: "missing", Port: 81, TargetPort: intstr.FromString("no-such-port")},
	}
	second.Spec.Ports = []corev1.ServicePort{
		{Name: "tcp", Port: 90, TargetPort: intstr.FromInt32(8080)},
		{Name: "grpc", Port: 91, TargetPort: intstr.FromInt32(9090)},
	}
	manual := newSlice("shop", "c", "10.0.0.1")
	port, name := int32(7070), "http"
	manual.Ports[0].Port, manual.Ports[0].Name = &port, &name
	_, s := build(t, serviceObject(first), serviceObject(second), serviceObject(third),
		sliceObject(manual), podObject(newPod("shop", "p", "10.0.0.1", "p", web)))
	want := []InboundPort{
		{7070, HTTP, "c.shop.svc.cluster.local", 80},
		{8080, HTTP, "a.shop.svc.cluster.local", 80},
		{9090, HTTP2, "b.shop.svc.cluster.local", 91},
	}
	if got := s.Workloads[Key{"shop", "p"}].Inbound.Ports; !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// TestInboundsAreSharedAndReleased: as many pointers as different contents, and
// nothing is kept for pods that are gone.
func TestInboundsAreSharedAndReleased(t *testing.T) {
	b := NewBuilder(testDomain)
	objects := []Object{serviceObject(newService("shop", "web", "web"))}
	for i := range 20 {
		objects = append(objects, podObject(newPod("shop", fmt.Sprintf("web-%d", i), fmt.Sprintf("10.0.0.%d", i+1), "web", map[string]string{"app": "web"})))
	}
	apply(t, b, objects...)
	if len(b.inbounds.byText) != 1 || len(b.inbounds.byPod) != 20 {
		t.Errorf("%d contents for %d pods", len(b.inbounds.byText), len(b.inbounds.byPod))
	}
	one := selecting(newPolicy("shop", "one", allow), map[string]string{"app": "web"})
	apply(t, b, policyObject(one))
	if len(b.inbounds.byText) != 1 {
		t.Errorf("%d contents after a policy for all", len(b.inbounds.byText))
	}
	var gone []Ref
	for _, o := range objects {
		gone = append(gone, o.Ref)
	}
	b.Apply(Update{Deletes: append(gone, policyObject(one).Ref)})
	if len(b.inbounds.byText)+len(b.inbounds.byPod)+len(b.backings)+len(b.definitions)+len(b.modes)+len(b.podsByIP)+len(b.hostsByPod)+len(b.objects) != 0 {
		t.Errorf("something is left of what is gone: %+v", b)
	}
}

func TestRootNamespaceMoves(t *testing.T) {
	config := func(root string) Object {
		return object(KindConfigMap, "istio-system", "istio", &corev1.ConfigMap{Data: map[string]string{"mesh": "rootNamespace: " + root}})
	}
	key := Key{"shop", "p"}
	b, s := build(t, podObject(newPod("shop", "p", "10.0.0.1", "p", nil)),
		policyObject(newPolicy("new-root", "all", allow)), peerObject(newPeer("new-root", "all", modeStrict, nil)))
	if in := s.Workloads[key].Inbound; len(in.Policies) != 0 || in.MTLS.Mode != Permissive {
		t.Fatalf("before: %+v", in)
	}
	s, changes := apply(t, b, config("new-root"))
	if in := s.Workloads[key].Inbound; len(in.Policies) != 1 || in.MTLS.Mode != Strict || !changes.Config || !changes.Workloads.Has(key) || len(in.Origins) != 2 {
		t.Errorf("after: %+v, %+v", in, changes)
	}
}

func TestGenerationsCountUp(t *testing.T) {
	b := NewBuilder(testDomain)
	first, _ := apply(t, b, podObject(newPod("shop", "p", "10.0.0.1", "p", nil)))
	same, _ := apply(t, b, podObject(newPod("shop", "p", "10.0.0.1", "p", nil)))
	second, _ := apply(t, b, podObject(newPod("shop", "p", "10.0.0.2", "p", nil)))
	if first.Generation != 1 || same != first || second.Generation != 2 {
		t.Errorf("generations %d, %d, %d", first.Generation, same.Generation, second.Generation)
	}
}
