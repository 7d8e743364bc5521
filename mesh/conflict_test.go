package mesh

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Without an age, or of one, the routes of a host's own namespace go first; who
// comes too late is told.
func TestOwnRoutesGoFirst(t *testing.T) {
	aged := func(ns, name string, seconds int64, exportTo ...string) Object {
		v := newRoute(ns, name, reviews, reviews)
		v.Spec.ExportTo = exportTo
		if seconds > 0 {
			v.CreationTimestamp = metav1.Unix(seconds, 0)
		}
		return routeObject(v)
	}
	for name, c := range map[string]struct {
		routes []Object
		order  []string
		told   []string
	}{
		"no age":          {[]Object{aged("evil", "aaa", 0), aged("shop", "own", 0)}, []string{"own", "aaa"}, []string{"aaa"}},
		"one age":         {[]Object{aged("evil", "aaa", 9), aged("shop", "own", 9)}, []string{"own", "aaa"}, []string{"aaa"}},
		"older":           {[]Object{aged("evil", "aaa", 8), aged("shop", "own", 9)}, []string{"aaa", "own"}, []string{"own"}},
		"for itself":      {[]Object{aged("evil", "aaa", 8, "."), aged("shop", "own", 9)}, []string{"aaa", "own"}, nil},
		"covered":         {[]Object{aged("evil", "aaa", 8, "bank", "shop"), aged("shop", "own", 9, ".")}, []string{"aaa", "own"}, []string{"own"}},
		"different":       {[]Object{aged("evil", "aaa", 8, "bank"), aged("shop", "own", 9, ".")}, []string{"aaa", "own"}, nil},
		"two of its own":  {[]Object{aged("shop", "b", 0), aged("shop", "a", 0)}, []string{"a", "b"}, []string{"b"}},
		"alone, anywhere": {[]Object{aged("evil", "aaa", 0)}, []string{"aaa"}, nil},
	} {
		b := NewBuilder(testDomain)
		s, _, problems := b.Apply(Update{Upserts: c.routes})
		var order, told []string
		for _, r := range s.Routes[reviews] {
			order = append(order, r.Ref.Name)
		}
		for _, p := range problems {
			told = append(told, p.Ref.Name)
		}
		if !slices.Equal(order, c.order) || !slices.Equal(told, c.told) {
			t.Errorf("%s: order %v, told %v; want %v, %v", name, order, told, c.order, c.told)
		}
		if _, _, problems = b.Apply(Update{Deletes: []Ref{c.routes[0].Ref}}); len(problems) > 0 {
			t.Errorf("%s: of one that is left: %+v", name, problems)
		}
	}
}

func TestOneAddressOfTwoServicesIsTold(t *testing.T) {
	first, second := newService("shop", "a", "a"), newService("shop", "b", "b")
	entry := newEntry("bank", "e", "aa.example.com")
	entry.Spec.Addresses = []string{"10.96.0.10"}
	entry.Spec.Hosts = append(entry.Spec.Hosts, "bb.example.com")
	b := NewBuilder(testDomain)
	_, _, problems := b.Apply(Update{Upserts: []Object{entryObject(entry)}})
	if len(problems) > 0 {
		t.Errorf("the hosts of one entry: %+v", problems)
	}
	told := func(want ...string) {
		t.Helper()
		var got []string
		for _, p := range problems {
			got = append(got, p.Ref.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("told %v, want %v: %+v", got, want, problems)
		}
	}
	_, _, problems = b.Apply(Update{Upserts: []Object{serviceObject(second), serviceObject(first)}})
	told("b", "e", "e")
	entry = entry.DeepCopy()
	entry.Spec.Ports[0].Number = 81
	_, _, problems = b.Apply(Update{Upserts: []Object{entryObject(entry)}})
	told("b")
	second = second.DeepCopy()
	second.Annotations = map[string]string{exportToAnnotation: "~"}
	_, _, problems = b.Apply(Update{Upserts: []Object{serviceObject(second)}})
	told()
}
