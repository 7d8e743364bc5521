package daemon

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/ca/revocation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/mesh"
)

func TestAnOrderNamesEachWhoIsCutOffOnce(t *testing.T) {
	start := time.Unix(1_700_000_000, 0).UTC()
	end := start.Add(time.Hour)
	list := &revocation.List{
		Revision: 9, Identities: []string{tillID}, Issuers: []revocation.Issuer{{Serial: "aa", Subject: "CN=a"}},
		Certificates: []revocation.Certificate{
			{Fingerprint: "f1", Serial: "1f", SPIFFEID: webID, IssuerSerial: "bb", IssuerSubject: "CN=b", NotBefore: start, NotAfter: end},
			{Fingerprint: "f2", Serial: "2f", SPIFFEID: tillID, IssuerSerial: "bb", Quarantined: true},
			{Fingerprint: "f3", Serial: "3f", SPIFFEID: webID, IssuerSerial: "aa"},
		},
	}
	want := &ensignv1.CutOff{
		Revision: 9, Identities: []string{tillID}, Issuers: []*ensignv1.CutIssuer{{Serial: "aa", Subject: "CN=a"}},
		Certificates: []*ensignv1.CutCertificate{{Fingerprint: "f1", Serial: "1f", SpiffeId: webID, IssuerSerial: "bb", IssuerSubject: "CN=b",
			NotBefore: timestamppb.New(start), NotAfter: timestamppb.New(end)}},
		Crls: [][]byte{{1}}, CrlRevision: 4,
	}
	got, _ := newOrders(list, &revocation.Set{Revision: 4, CRLs: [][]byte{{1}}}).For("shop/web-1")
	if !proto.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// Leaves of a revoked issuer are denied by its name, those that nobody knows of too.
	if denied := deniedOf(list); !slices.Equal(denied.Digests, []string{"f1"}) || !slices.Equal(denied.Identities, []string{tillID}) || !slices.Equal(denied.Issuers, []string{"CN=a"}) {
		t.Errorf("denied: %+v", denied)
	}
}

// TestAnOrderIsTheSameMessageWhileItSaysTheSame: agents are told only what is new.
func TestAnOrderIsTheSameMessageWhileItSaysTheSame(t *testing.T) {
	guarded := &mesh.Inbound{Namespace: "shop", Ports: []mesh.InboundPort{{Number: 9000, Protocol: mesh.TCP}},
		MTLS: mesh.PeerMTLS{Mode: mesh.Strict}, Policies: []*authz.Policy{{Namespace: "shop", Name: "none", Action: authz.Allow}}}
	key := mesh.Key{Namespace: "shop", Name: "web-1"}
	o := newOrders(&revocation.List{Revision: 1}, &revocation.Set{})
	before, changed := o.For("shop/web-1")
	if len(before.SilentPorts) != 0 {
		t.Errorf("ports of a pod that is not known: %v", before.SilentPorts)
	}
	first := &mesh.Snapshot{Workloads: map[mesh.Key]*mesh.Workload{key: {Inbound: guarded}}}
	o.see(first)
	<-changed
	told, changed := o.For("shop/web-1")
	if !slices.Contains(told.SilentPorts, 9000) {
		t.Errorf("silent ports %v, want 9000 among them", told.SilentPorts)
	}
	o.see(&mesh.Snapshot{Workloads: map[mesh.Key]*mesh.Workload{key: {Inbound: guarded}, {Namespace: "shop", Name: "web-2"}: {Inbound: guarded}}})
	<-changed
	again, changed := o.For("shop/web-1")
	other, _ := o.For("shop/web-2")
	if again != told || other != told {
		t.Error("another message that says the same")
	}
	o.tell(&revocation.List{Revision: 2}, &revocation.Set{})
	<-changed
	if now, _ := o.For("shop/web-1"); now.Revision != 2 || !slices.Equal(now.SilentPorts, told.SilentPorts) {
		t.Errorf("%v", now)
	}
}
