package mesh

import (
	"fmt"
	"slices"
	"testing"
)

// denyWorld is the service reviews with one pod of each of two accounts, and an
// entry that names the second one twice.
func denyWorld(t *testing.T) (*Builder, *Snapshot) {
	entry := newEntry("shop", "e", "vm.example", "10.9.0.1")
	entry.Spec.SubjectAltNames = []string{spiffe("shop", "second").String()}
	entry.Spec.Endpoints[0].ServiceAccount = "second"
	return build(t,
		serviceObject(newService("shop", "reviews", "reviews")), sliceObject(newSlice("shop", "reviews", "10.0.0.1", "10.0.0.2")),
		podObject(newPod("shop", "p1", "10.0.0.1", "first", map[string]string{"app": "reviews"})),
		podObject(newPod("shop", "p2", "10.0.0.2", "second", map[string]string{"app": "reviews"})),
		podObject(newPod("bank", "p3", "10.0.0.3", "second", nil)),
		entryObject(entry),
	)
}

func TestQuarantineTakesIdentityFromMesh(t *testing.T) {
	b, before := denyWorld(t)
	if n := len(before.Endpoints["vm.example"].Ports[80]); n != 1 {
		t.Fatalf("%d endpoints of the entry before", n)
	}
	second := spiffe("shop", "second")
	s, changes, _ := b.Deny(Denied{Identities: []string{second.String()}})
	if set := s.Endpoints[reviews]; len(set.Accounts) != 1 || set.Accounts[0] != spiffe("shop", "first") ||
		len(set.Ports[80]) != 1 || set.Ports[80][0].Address != "10.0.0.1" {
		t.Errorf("the service still has %+v", set)
	}
	if set := s.Endpoints["vm.example"]; len(set.Accounts)+len(set.Ports) != 0 {
		t.Errorf("the entry still has %+v", set)
	}
	p1, p2, p3 := Key{"shop", "p1"}, Key{"shop", "p2"}, Key{"bank", "p3"}
	if !s.Workloads[p2].Inbound.Quarantined || s.Workloads[p1] != before.Workloads[p1] || s.Workloads[p3] != before.Workloads[p3] {
		t.Errorf("inbound sides: %+v, %+v, %+v", s.Workloads[p1].Inbound, s.Workloads[p2].Inbound, s.Workloads[p3].Inbound)
	}
	if !slices.Equal(s.Workloads[p2].Inbound.Ports, before.Workloads[p2].Inbound.Ports) {
		t.Errorf("quarantine changed the ports to %v", s.Workloads[p2].Inbound.Ports)
	}
	if !changes.Denied || len(changes.Workloads) != 1 || len(changes.Accounts) != 2 || len(changes.Endpoints) != 2 || len(changes.Services) != 0 {
		t.Errorf("changes %+v", changes)
	}
	after, changes, _ := b.Deny(Denied{})
	if !changes.Denied || after.Denied.Quarantined(second.String()) {
		t.Errorf("released: %+v", changes)
	}
	checkSame(t, before, after)
}

// A pod that comes while its account is in quarantine is cut off from the start.
func TestQuarantineHoldsForPodsToCome(t *testing.T) {
	b, _ := denyWorld(t)
	b.Deny(Denied{Identities: []string{spiffe("shop", "second").String()}})
	s, _, _ := b.Apply(Update{Upserts: []Object{
		podObject(newPod("shop", "p4", "10.0.0.4", "second", map[string]string{"app": "reviews"})),
		sliceObject(newSlice("shop", "reviews", "10.0.0.1", "10.0.0.2", "10.0.0.4")),
	}})
	if set := s.Endpoints[reviews]; len(set.Ports[80]) != 1 || !s.Workloads[Key{"shop", "p4"}].Inbound.Quarantined {
		t.Errorf("the pod serves: %+v", set)
	}
}

// Digests change nothing but themselves, and the same list again is no change.
func TestDenyIsNormal(t *testing.T) {
	b, before := denyWorld(t)
	s, changes, _ := b.Deny(Denied{Digests: []string{"bb", "aa", "bb"}})
	if !slices.Equal(s.Denied.Digests, []string{"aa", "bb"}) || !changes.Denied {
		t.Errorf("digests %v, changes %+v", s.Denied.Digests, changes)
	}
	if s.Generation != before.Generation+1 || len(changes.Workloads)+len(changes.Endpoints) != 0 {
		t.Errorf("changes %+v", changes)
	}
	if again, changes, _ := b.Deny(Denied{Digests: []string{"aa", "bb"}}); again != s || !changes.Empty() {
		t.Errorf("the same list changes %+v", changes)
	}
	if s, changes, _ = b.Apply(Update{Deletes: []Ref{{Kind: KindPod, Key: Key{"shop", "p1"}}}}); changes.Denied || len(s.Denied.Digests) != 2 {
		t.Errorf("an update loses the list: %+v", s.Denied)
	}
}

func BenchmarkDenyOneIdentity(b *testing.B) {
	builder := NewBuilder(testDomain)
	builder.Apply(Update{Upserts: largeMesh()})
	i := 0
	for b.Loop() {
		if _, changes, _ := builder.Deny(Denied{Identities: []string{spiffe("ns-7", fmt.Sprintf("svc-%d", 7+20*(i%2))).String()}}); len(changes.Workloads) == 0 {
			b.Fatal("nothing changed")
		}
		i++
	}
}
