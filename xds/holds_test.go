package xds

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A client that makes up versions neither fills the memory nor ends a hold.
func TestMadeUpVersionsAreBounded(t *testing.T) {
	h := newHolds(newMetrics(prometheus.NewRegistry()))
	bad := made(t, "a", "bad")
	for _, by := range []string{"one", "two"} {
		h.refuse("1.40.0", bad, by, "no", epoch)
	}
	for i := range 10 * maxVersions {
		h.refuse(fmt.Sprint("made up ", i), bad, "evil", "no", epoch)
	}
	if len(h.refused) > maxVersions {
		t.Errorf("%d versions are kept", len(h.refused))
	}
	if !h.held("1.40.0", bad) {
		t.Error("the hold is gone")
	}
}

// The capture listeners stay for all who take them, whoever refuses them.
func TestCaptureListenersAreNeverHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.base(listenerOf("virtualOutbound", "v1"), listenerOf("virtualInbound", "v1"), listenerOf("other", "v1"))
		all := []string{"virtualOutbound", "virtualInbound", "other"}
		for pod, sa := range map[string]string{"web-1": "web", "db-1": "db"} {
			e := w.connect("shop", sa, pod)
			e.ask(listener)
			e.nack(e.get(listener, all...), "error adding listeners virtualOutbound, virtualInbound, other: duplicate address")
			e.quiet()
			if s := w.statusOf("shop/"+pod, listener); s.State != Nacked || len(s.Rejections) != 3 {
				t.Errorf("%s, which refused all three: %+v", pod, s)
			}
		}
		if holds := w.server.Holds(); len(holds) != 1 || holds[0].Resource != "other" {
			t.Errorf("holds: %+v", holds)
		}
		e := w.connect("shop", "web", "web-2")
		e.ask(listener)
		e.take(listener, "virtualOutbound", "virtualInbound")
	})
}
