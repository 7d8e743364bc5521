package mesh

import (
	"slices"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	security "istio.io/api/security/v1beta1"
	corev1 "k8s.io/api/core/v1"
)

const reviews = "reviews.shop.svc.cluster.local"

func TestEndpointsJoinPodsByAddress(t *testing.T) {
	_, s := build(t,
		serviceObject(newService("shop", "reviews", "reviews")),
		sliceObject(newSlice("shop", "reviews", "10.0.0.1", "10.0.0.9")),
		podObject(newPod("shop", "reviews-1", "10.0.0.1", "reviews", map[string]string{"app": "reviews"})),
		podObject(newPod("shop", "reviews-2", "10.0.0.2", "", map[string]string{"app": "reviews"})),
	)
	set := s.Endpoints[reviews]
	if got := set.Ports[80]; len(got) != 2 || got[0].Account != spiffe("shop", "reviews") || !got[0].MTLS ||
		got[1].Address != "10.0.0.9" || !got[1].Account.IsZero() || got[1].MTLS {
		t.Errorf("endpoints: %+v", got)
	}
	want := []spiffeid.ID{spiffe("shop", "default"), spiffe("shop", "reviews")}
	if !slices.Equal(set.Accounts, want) {
		t.Errorf("accounts %v, want those behind it and those selected: %v", set.Accounts, want)
	}
	in := s.Workloads[Key{"shop", "reviews-2"}].Inbound
	if len(in.Ports) != 1 || in.Ports[0] != (InboundPort{8080, HTTP, reviews, 80}) {
		t.Errorf("inbound ports %+v", in.Ports)
	}
	if in != s.Workloads[Key{"shop", "reviews-1"}].Inbound {
		t.Error("equal inbound sides do not share the pointer")
	}
}

func TestPodNamedByTargetRef(t *testing.T) {
	s := newSlice("shop", "reviews", "10.0.0.1")
	s.Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "new"}
	b, _ := build(t, serviceObject(newService("shop", "reviews", "none")), sliceObject(s))
	next, changes := apply(t, b, podObject(newPod("shop", "new", "", "reviews", nil)))
	if got := next.Endpoints[reviews]; len(got.Accounts) != 1 || got.Ports[80][0].Account != spiffe("shop", "reviews") || !changes.Accounts.Has(reviews) {
		t.Errorf("a pod without an address yet: %+v, changes %+v", got, changes)
	}
	next, _ = apply(t, b, podObject(newPod("shop", "new", "10.0.0.8", "reviews", nil)))
	if got := next.Endpoints[reviews]; len(got.Accounts) != 0 || len(got.Ports[80]) != 0 {
		t.Errorf("a targetRef whose pod has another address must not lend its account: %+v", got)
	}
}

// Whoever gets a deleted pod's address must not get its clients' requests, least
// of all in plaintext.
func TestAnEndpointGoesWithThePodThatItNames(t *testing.T) {
	s := newSlice("shop", "reviews", "10.0.0.1")
	s.Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "reviews-1"}
	pod := podObject(newPod("shop", "reviews-1", "10.0.0.1", "reviews", nil))
	b, before := build(t, serviceObject(newService("shop", "reviews", "none")), sliceObject(s))
	if got := before.Endpoints[reviews]; len(got.Ports[80]) != 0 {
		t.Errorf("a slice that was read before its pod: %+v", got)
	}
	if next, _ := apply(t, b, pod); len(next.Endpoints[reviews].Ports[80]) != 1 {
		t.Errorf("with its pod: %+v", next.Endpoints[reviews])
	}
	gone, changes, _ := b.Apply(Update{Deletes: []Ref{pod.Ref}})
	if got := gone.Endpoints[reviews]; len(got.Ports[80]) != 0 || !changes.Endpoints.Has(reviews) {
		t.Errorf("without it again: %+v, changes %+v", got, changes)
	}
	thief, _ := apply(t, b, podObject(newPod("shop", "thief", "10.0.0.1", "thief", nil)))
	if got := thief.Endpoints[reviews]; len(got.Ports[80]) != 0 || len(got.Accounts) != 0 {
		t.Errorf("another pod has the address: %+v", got)
	}
}

func TestTargetRefIntoAnotherNamespaceIsIgnored(t *testing.T) {
	s := newSlice("shop", "reviews", "10.0.0.1")
	s.Endpoints[0].TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: "bank", Name: "vault"}
	_, got := build(t, serviceObject(newService("shop", "reviews", "none")), sliceObject(s), podObject(newPod("bank", "vault", "", "vault", nil)))
	if set := got.Endpoints[reviews]; len(set.Accounts) != 0 {
		t.Errorf("accounts %v of a pod that the slice can't speak for", set.Accounts)
	}
}

func TestSharedAddressIsNobodysUnlessAllRunAsOne(t *testing.T) {
	service, slice := serviceObject(newService("shop", "reviews", "none")), sliceObject(newSlice("shop", "reviews", "10.0.0.1"))
	b, s := build(t, service, slice, podObject(newPod("shop", "x", "10.0.0.1", "one", nil)), podObject(newPod("shop", "y", "10.0.0.1", "two", nil)))
	if set := s.Endpoints[reviews]; len(set.Accounts) != 0 || set.Ports[80][0].MTLS {
		t.Errorf("two accounts at one address: %+v", set)
	}
	s, _ = apply(t, b, podObject(newPod("shop", "y", "10.0.0.1", "one", nil)))
	if set := s.Endpoints[reviews]; len(set.Accounts) != 1 {
		t.Errorf("one account at one address: %+v", set)
	}
}

func TestForeignServiceDoesNotShapeInbound(t *testing.T) {
	_, s := build(t, serviceObject(newService("evil", "grab", "none")), sliceObject(newSlice("evil", "grab", "10.0.0.1")),
		podObject(newPod("shop", "victim", "10.0.0.1", "victim", nil)))
	if in := s.Workloads[Key{"shop", "victim"}].Inbound; len(in.Ports) != 0 {
		t.Errorf("a service of another namespace opened inbound ports %+v", in.Ports)
	}
	if set := s.Endpoints["grab.evil.svc.cluster.local"]; !slices.Equal(set.Accounts, []spiffeid.ID{spiffe("shop", "victim")}) {
		t.Errorf("accounts %v: who is behind the address must still be named", set.Accounts)
	}
}

func TestNotReadyCountsForAccountsOnly(t *testing.T) {
	no := false
	slice := newSlice("shop", "reviews", "10.0.0.1")
	slice.Endpoints[0].Conditions.Ready = &no
	_, s := build(t, serviceObject(newService("shop", "reviews", "none")), sliceObject(slice), podObject(newPod("shop", "r", "10.0.0.1", "reviews", nil)))
	if set := s.Endpoints[reviews]; len(set.Ports) != 0 || len(set.Accounts) != 1 {
		t.Errorf("got %+v, want no endpoint and one account", set)
	}
}

func TestFinishedPodIsGone(t *testing.T) {
	p := newPod("shop", "job", "10.0.0.1", "job", map[string]string{"app": "reviews"})
	p.Status.Phase = corev1.PodSucceeded
	_, s := build(t, serviceObject(newService("shop", "reviews", "reviews")), sliceObject(newSlice("shop", "reviews", "10.0.0.1")), podObject(p))
	if len(s.Workloads) != 0 || len(s.Endpoints[reviews].Accounts) != 0 {
		t.Errorf("a finished pod is still there: %+v %+v", s.Workloads, s.Endpoints[reviews])
	}
}

func TestSlicePortsMatchByName(t *testing.T) {
	service := newService("shop", "reviews", "none")
	service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: "grpc", Port: 81})
	_, s := build(t, serviceObject(service), sliceObject(newSlice("shop", "reviews", "10.0.0.1")))
	if set := s.Endpoints[reviews]; len(set.Ports[80]) != 1 || len(set.Ports[81]) != 0 {
		t.Errorf("endpoints %+v: the slice has port http only", set.Ports)
	}
}

func TestEndpointOfDisabledPortTakesNoMTLS(t *testing.T) {
	b, s := build(t, serviceObject(newService("shop", "reviews", "reviews")), sliceObject(newSlice("shop", "reviews", "10.0.0.1")),
		podObject(newPod("shop", "r", "10.0.0.1", "reviews", map[string]string{"app": "reviews"})))
	if !s.Endpoints[reviews].Ports[80][0].MTLS {
		t.Fatal("a sidecar takes mTLS by default")
	}
	s, changes := apply(t, b, peerObject(newPeer("shop", "off", security.PeerAuthentication_MutualTLS_DISABLE, nil)))
	if s.Endpoints[reviews].Ports[80][0].MTLS || !changes.Endpoints.Has(reviews) || changes.Accounts.Has(reviews) {
		t.Errorf("after DISABLE: %+v, changes %+v", s.Endpoints[reviews], changes)
	}
}
