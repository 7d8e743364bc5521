package xds

import (
	"testing"

	"github.com/ensign-mesh/ensign/xds/build"
)

const hostA = "outbound|80||a"

// move lets the pods of service a run as B instead of A, in one change.
func (w *world) move() {
	w.host("a", map[part][]build.Resource{
		clusters:  {clusterOf(hostA, "v2", "B")},
		endpoints: {endpointsWith(hostA, "v2", "B")},
	})
}

// accepts are the identities that a sent cluster stands for, by its version.
func (w *world) accepts(r *deltaResponse) []string {
	w.t.Helper()
	for _, c := range w.server.open() {
		for _, sent := range c.watches[cluster].held() {
			if sent.version == r.Resources[0].Version {
				return sent.ids
			}
		}
	}
	w.t.Fatal("the cluster is not what any session was sent")
	return nil
}

func (w *world) mustAccept(r *deltaResponse, want ...string) {
	w.t.Helper()
	if got := w.accepts(r); len(without(got, want))+len(without(want, got)) > 0 {
		w.t.Fatalf("the cluster accepts %v, want %v", got, want)
	}
}

func TestServiceMovesToAnotherIdentity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		v1 := e.begin()[endpoint][hostA]
		w.move()

		wide := e.get(cluster, hostA)
		w.mustAccept(wide, "A", "B")
		if old := e.take(endpoint, hostA); old.Resources[0].Version != v1 {
			t.Fatal("behind the widened cluster came the new endpoints, before it was accepted")
		}
		e.quiet()
		e.ack(wide)

		moved := e.get(endpoint, hostA)
		if moved.Resources[0].Version == v1 {
			t.Fatal("the new endpoints did not come")
		}
		e.quiet()
		e.ack(moved)

		narrow := e.get(cluster, hostA)
		w.mustAccept(narrow, "B")
		e.take(endpoint, hostA)
		e.ack(narrow)
		e.quiet()
	})
}

func TestWideClusterIsEncodedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		var all []*envoy
		for range 5 {
			e := w.connect("shop", "web", "web-1")
			e.begin()
			all = append(all, e)
		}
		before := w.counter(w.server.metrics.encodes, "cluster")
		w.move()
		for _, e := range all {
			e.get(cluster, hostA)
		}
		if got := w.counter(w.server.metrics.encodes, "cluster") - before; got != 2 {
			t.Errorf("%d encodes, want 2: the cluster and its widened form", got)
		}
	})
}

func TestWideClusterRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		v1 := e.begin()[endpoint][hostA]
		w.move()
		e.nack(e.get(cluster, hostA), "no")
		old := e.get(endpoint, hostA)
		narrow := e.get(cluster, hostA)
		w.mustAccept(narrow, "B")
		e.ack(old)
		if r := e.get(endpoint, hostA); r.Resources[0].Version != v1 {
			t.Fatal("new endpoints came before any cluster with their identity was accepted")
		} else {
			e.ack(r)
		}
		e.ack(narrow)
		if r := e.take(endpoint, hostA); r.Resources[0].Version == v1 {
			t.Fatal("the endpoints stay held though the cluster accepts them")
		}
		e.quiet()
	})
}

func TestNoClusterStaysWideForASilentClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.begin()
		w.move()
		wide := e.get(cluster, hostA)
		e.take(endpoint, hostA)
		e.ack(wide)
		e.get(endpoint, hostA) // the new ones, never acknowledged
		e.quiet()
		silence(11)
		w.mustAccept(e.get(cluster, hostA), "B")
	})
}

func TestEndpointsStayHeldForASilentClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		v1 := e.begin()[endpoint][hostA]
		w.move()
		e.get(cluster, hostA) // never acknowledged
		e.take(endpoint, hostA)
		silence(11)
		narrow := e.get(cluster, hostA)
		w.mustAccept(narrow, "B")
		if r := e.take(endpoint, hostA); r.Resources[0].Version != v1 {
			t.Fatal("endpoints came that the client's cluster does not accept")
		}
		silence(60)
		e.quiet()
		e.ack(narrow)
		if r := e.take(endpoint, hostA); r.Resources[0].Version == v1 {
			t.Fatal("the new endpoints did not come after the cluster was accepted")
		}
	})
}

// An identity that was taken from a service while its pods still run as it is
// dropped at once: nothing keeps it accepted.
func TestRevokedIdentityIsNotBridged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.begin()
		w.host("a", map[part][]build.Resource{clusters: {clusterOf(hostA, "v2", "B")}})
		cds := e.get(cluster, hostA)
		w.mustAccept(cds, "B")
		e.take(endpoint, hostA)
		e.ack(cds)
		e.quiet()
	})
}

// Endpoints with an identity that the service may not have are sent: the client
// refuses them, and its cluster need not wait.
func TestForeignEndpointsDoNotStall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.begin()
		w.endpointsOf("a", endpointsWith(hostA, "v2", "A", "X"))
		e.take(endpoint, hostA)
		e.quiet()
	})
}

// Widening takes up only what the client accepts already.
func TestForeignIdentityIsNotBridged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.begin()
		w.endpointsOf("a", endpointsWith(hostA, "v2", "A", "X"))
		e.take(endpoint, hostA)
		e.quiet()
		w.move()
		w.mustAccept(e.get(cluster, hostA), "A", "B")
	})
}
