package xds

import (
	"testing"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// serve gives the pod shop/web-1 an inbound side of these resources.
func (w *world) serve(resources ...build.Resource) {
	in, key := &mesh.Inbound{Namespace: "shop"}, mesh.Key{Namespace: "shop", Name: "web-1"}
	w.mu.Lock()
	w.in[in] = resources
	w.mu.Unlock()
	w.change(mesh.ChangeSet{Workloads: mesh.Set[mesh.Key]{key: {}}}, func(s *mesh.Snapshot) {
		s.Workloads[key] = &mesh.Workload{Account: account("shop", "web"), Inbound: in}
	})
}

// A pod leaves its service. Envoy acknowledges the listener at once, while requests
// still come on the connections of the chain that is gone: its cluster stays until
// they have drained.
func TestAnInboundClusterOutlivesItsFilterChain(t *testing.T) {
	const port = "inbound|9080||"
	serving := []build.Resource{listenerOf("virtualInbound", "serves"), clusterOf(port, "")}
	left := listenerOf("virtualInbound", "passes through")
	begin := func(t *testing.T) (*world, *envoy) {
		w := shop(t)
		w.serve(serving...)
		e := w.connect("shop", "web", "web-1")
		e.ask(cluster)
		e.take(cluster, "PassthroughCluster", port, "outbound|80||a")
		e.ask(listener)
		e.take(listener, "0.0.0.0_80", "virtualInbound")
		w.serve(left)
		e.take(listener, "virtualInbound")
		e.quiet()
		if s := w.statusOf("shop/web-1", cluster); s.State != Synced {
			t.Errorf("a cluster that lingers makes the client %s", s.State)
		}
		return w, e
	}
	t.Run("and goes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			_, e := begin(t)
			silence(590)
			e.quiet()
			silence(11)
			e.take(cluster, "-"+port)
			e.quiet()
		})
	})
	t.Run("or is wanted again", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w, e := begin(t)
			silence(300)
			w.serve(serving...)
			e.take(listener, "virtualInbound")
			silence(400)
			e.quiet()
			w.serve(left)
			e.take(listener, "virtualInbound")
			silence(590)
			e.quiet()
			silence(11)
			e.take(cluster, "-"+port)
		})
	})
	t.Run("and is not lost by a new stream", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			w, _ := begin(t)
			e := w.connect("shop", "web", "web-1")
			e.say(&deltaRequest{TypeUrl: cluster.url(), InitialResourceVersions: map[string]string{port: "v1"}})
			e.take(cluster, "PassthroughCluster", "outbound|80||a")
			silence(590)
			e.quiet()
			silence(11)
			e.take(cluster, "-"+port)
		})
	})
}
