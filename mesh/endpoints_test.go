package mesh

import (
	"slices"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
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
