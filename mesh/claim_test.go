package mesh

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// The address of another namespace's pod is no service's, whichever of the two
// comes first.
func TestForeignPodsAddressIsNotClaimed(t *testing.T) {
	entry := newEntry("evil", "e", vault)
	entry.Spec.Addresses = []string{"10.77.0.6", "10.77.0.7"}
	victim := newPod("shop", "db-0", "10.77.0.6", "db", nil)
	b, s := build(t, entryObject(entry), podObject(newPod("evil", "own", "10.77.0.7", "own", nil)))
	if got := s.Services[vault].Addresses; !slices.Equal(got, entry.Spec.Addresses) {
		t.Fatalf("addresses %v", got)
	}
	s, changes, problems := b.Apply(Update{Upserts: []Object{podObject(victim)}})
	if got := s.Services[vault].Addresses; !slices.Equal(got, []string{"10.77.0.7"}) || len(s.Addresses["10.77.0.6"]) > 0 {
		t.Errorf("addresses %v, owners %v", got, s.Addresses)
	}
	if !changes.Services.Has(vault) || len(problems) != 1 || problems[0].Ref.Name != "e" {
		t.Errorf("changes %v, problems %+v", changes.Services, problems)
	}
	if again, changes, _ := b.Apply(Update{Upserts: []Object{entryObject(entry.DeepCopy())}}); again != s {
		t.Errorf("an equal copy changes %v", changes.Services)
	}
	done := victim.DeepCopy()
	done.Status.Phase = corev1.PodSucceeded
	s, _, problems = b.Apply(Update{Upserts: []Object{podObject(done)}})
	if len(s.Services[vault].Addresses) != 2 || len(problems) > 0 {
		t.Errorf("a pod that ended keeps its address: %v, %+v", s.Services[vault].Addresses, problems)
	}
}
