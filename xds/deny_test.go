package xds

import (
	"slices"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

var digestA = strings.Repeat("0a", 32)

func (m *realMesh) deny(d mesh.Denied) {
	m.t.Helper()
	snap, changes, _ := m.builder.Deny(d)
	m.server.Update(snap, changes)
}

// denyAcked says for each connected proxy whether it obeys.
func (w *world) denyAcked() (acked []bool) {
	for _, p := range w.server.Proxies() {
		acked = append(acked, p.DenyAcked)
	}
	return acked
}

var bothDenials = []string{build.RevokedHTTP, build.RevokedTCP}

func TestDenialsReachAllAsOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		all := []*envoy{m.connect("bank", "web", "web-1"), m.connect("shop", "web", "web-1")}
		for _, e := range all {
			e.everything()
		}
		if got := m.denyAcked(); !slices.Equal(got, []bool{true, true}) {
			t.Fatalf("nobody is denied, and %v have acknowledged it", got)
		}
		before := m.counter(m.server.metrics.encodes, "extension")
		m.deny(mesh.Denied{Digests: []string{digestA}})
		held := all[0].get(extension, bothDenials...)
		all[1].take(extension, bothDenials...)
		all[1].quiet()
		if got := m.denyAcked(); !slices.Equal(got, []bool{false, true}) {
			t.Errorf("one of two has acknowledged: %v", got)
		}
		if n := m.counter(m.server.metrics.encodes, "extension") - before; n != 2 {
			t.Errorf("%d encodes of two filters for two namespaces", n)
		}
		all[0].nack(held, "no")
		all[0].settle()
		if got := m.denyAcked(); got[0] {
			t.Error("a refusal counts as an acknowledgement")
		}
		m.deny(mesh.Denied{})
		all[0].follow()
		all[1].follow()
		if got := m.denyAcked(); !slices.Equal(got, []bool{true, true}) {
			t.Errorf("after all were let in again %v have acknowledged", got)
		}
	})
}

// A client that has asked for none of the filters does not obey, one that has
// asked for some does with these: it has no chain that needs the others.
func TestDenyAckedIsOfTheStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		m.deny(mesh.Denied{Digests: []string{digestA}})
		e := m.connect("shop", "web", "web-1")
		e.ask(cluster)
		e.follow()
		if m.denyAcked()[0] {
			t.Error("it has not asked")
		}
		for _, name := range bothDenials {
			e.ask(extension, name)
			r := e.get(extension, name)
			e.settle()
			if m.denyAcked()[0] {
				t.Errorf("it has not acknowledged %s", name)
			}
			e.ack(r)
			e.settle()
			if !m.denyAcked()[0] {
				t.Errorf("it has acknowledged %s", name)
			}
		}
	})
}

// Two that refuse the denials must not keep them from the others.
func TestDenialsAreNotHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		thieves := []*envoy{m.connect("bank", "web", "web-1"), m.connect("bank", "db", "db-1")}
		honest := m.connect("shop", "web", "web-1")
		for _, e := range append(thieves, honest) {
			e.everything()
		}
		honest.settle()
		m.deny(mesh.Denied{Digests: []string{digestA}})
		late := honest.get(extension, bothDenials...)
		for _, e := range thieves {
			e.nack(e.get(extension, bothDenials...), "RevokedHTTP "+build.RevokedHTTP+" and "+build.RevokedTCP)
			e.settle()
		}
		if holds := m.server.Holds(); len(holds) != 0 {
			t.Fatalf("held back: %+v", holds)
		}
		honest.ack(late)
		again := m.connect("shop", "web", "web-1")
		again.ask(extension, bothDenials...)
		again.take(extension, bothDenials...)
		again.settle()
		if got := m.denyAcked(); !slices.Equal(got, []bool{false, false, true, true}) {
			t.Errorf("acknowledged: %v", got)
		}
	})
}

// A service that loses its identity to quarantine is not bridged: no client
// accepts it for a moment longer.
func TestQuarantineIsNotBridged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		m.apply(pod("bank", "db-2", "10.0.0.3", "db2", "db"), slice("10.0.0.2", "10.0.0.3"))
		e := m.connect("shop", "web", "web-1")
		e.everything()
		gone, stays := account("bank", "db").String(), account("bank", "db2").String()
		m.deny(mesh.Denied{Identities: []string{gone}})
		var seen int
		for _, r := range e.follow() {
			if ids := accepted(t, r); len(ids) > 0 {
				seen++
				if !slices.Equal(ids, []string{stays}) {
					t.Errorf("the cluster accepts %v", ids)
				}
			}
		}
		if seen != 1 {
			t.Errorf("the cluster came %d times", seen)
		}
	})
}

// A cluster that is widened already, for a move, loses whom quarantine hits.
func TestQuarantineEndsABridge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		e := m.connect("shop", "web", "web-1")
		e.everything()
		m.apply(pod("bank", "db-1", "10.0.0.9", "db2", "db"), slice("10.0.0.9"))
		old, moved := account("bank", "db").String(), account("bank", "db2").String()
		wide := e.take(cluster, dbCluster)
		if got := accepted(t, wide); !slices.Equal(got, []string{old, moved}) {
			t.Fatalf("the bridge accepts %v", got)
		}
		e.settle() // the endpoints are on their way and not acknowledged
		m.deny(mesh.Denied{Identities: []string{old}})
		e.settle()
		var last []string
		for len(e.responses) > 0 {
			if ids := accepted(t, <-e.responses); len(ids) > 0 {
				last = ids
			}
		}
		if !slices.Equal(last, []string{moved}) {
			t.Errorf("after the quarantine the client was told to accept %v", last)
		}
	})
}
