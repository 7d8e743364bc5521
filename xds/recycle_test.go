package xds

import (
	"slices"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// revisions are those that the mTLS chains of a sent inbound listener carry.
func revisions(t *testing.T, r *deltaResponse) (found []float64) {
	t.Helper()
	for _, res := range r.Resources {
		if res.Name != build.VirtualInbound {
			continue
		}
		var l listenerv3.Listener
		unpack(t, res.Resource.Value, &l)
		for _, chain := range l.FilterChains {
			if chain.TransportSocket != nil {
				found = append(found, chain.Metadata.GetFilterMetadata()["ensign.recycled"].GetFields()["revision"].GetNumberValue())
			}
		}
	}
	return slices.Compact(found)
}

func TestRecycleReplacesOneProxysChains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		one, other := m.connect("bank", "db", "db-1"), m.connect("bank", "web", "web-1")
		for _, e := range []*envoy{one, other} {
			e.everything()
		}
		m.server.Recycle("bank/db-1", 7)
		if got := revisions(t, one.take(listener, build.VirtualInbound)); !slices.Equal(got, []float64{7}) {
			t.Errorf("the chains carry %v", got)
		}
		m.server.Recycle("bank/db-1", 7)
		m.server.Recycle("bank/db-1", 6)
		one.quiet()
		other.quiet()
		m.server.Recycle("bank/db-1", 8)
		if got := revisions(t, one.take(listener, build.VirtualInbound)); !slices.Equal(got, []float64{8}) {
			t.Errorf("the chains carry %v", got)
		}
		one.quiet()
		// A proxy that comes back keeps what it was recycled for.
		again := m.connect("bank", "db", "db-1")
		again.ask(listener)
		if got := revisions(t, again.get(listener, build.VirtualInbound, "0.0.0.0_80", "virtualOutbound")); !slices.Equal(got, []float64{8}) {
			t.Errorf("after it came back the chains carry %v", got)
		}
		// The pod is gone, and its name forgotten.
		snap, changes, _ := m.builder.Apply(mesh.Update{Deletes: []mesh.Ref{{Kind: mesh.KindPod, Key: mesh.Key{Namespace: "bank", Name: "db-1"}}}})
		m.server.Update(snap, changes)
		if n := len(m.server.recycled); n != 0 {
			t.Errorf("%d proxies are remembered", n)
		}
	})
}

// A proxy that refuses the replacement is not asked again and again.
func TestRefusedRecycleEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newRealMesh(t)
		e := m.connect("bank", "db", "db-1")
		e.everything()
		m.server.Recycle("bank/db-1", 7)
		e.nack(e.get(listener, build.VirtualInbound), "no: "+build.VirtualInbound)
		e.quiet()
		if types := m.server.Proxies()[0].Types; !slices.ContainsFunc(types, func(s TypeStatus) bool { return s.State == Nacked }) {
			t.Errorf("the refusal is not told: %+v", types)
		}
		m.server.Recycle("bank/db-1", 8)
		e.take(listener, build.VirtualInbound)
		e.quiet()
	})
}
