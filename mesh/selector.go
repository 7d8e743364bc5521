package mesh

import (
	"maps"
	"slices"
)

// covers says whether labels has every pair of selector; an empty selector
// covers everything.
func covers(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// target is one alternative of a policy's selection: pods with these labels, or
// the pods behind a host.
type target struct {
	labels map[string]string
	host   string
}

// selection is what a policy of a namespace selects: any of its targets.
type selection []target

func (s selection) equal(o selection) bool {
	return slices.EqualFunc(s, o, func(a, b target) bool { return a.host == b.host && maps.Equal(a.labels, b.labels) })
}

func (s selection) selects(p *pod, hosts Set[string]) bool {
	for _, t := range s {
		if t.host != "" && hosts.Has(t.host) || t.host == "" && covers(t.labels, p.labels) {
			return true
		}
	}
	return false
}
