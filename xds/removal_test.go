package xds

import (
	"testing"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// withPort adds a host whose port has a listener of its own.
func (w *world) withPort(host string, number uint32, listeners ...build.Resource) {
	w.change(mesh.ChangeSet{Services: mesh.Set[string]{host: {}}}, func(s *mesh.Snapshot) {
		s.Services[host] = &mesh.Service{Host: host, ExportTo: []string{"*"}, Ports: []mesh.ServicePort{{Number: number}}}
		w.table[unitID{part: clusters, host: host}] = []build.Resource{clusterOf("outbound|81||"+host, "v1")}
		w.table[unitID{part: ports, port: number}] = listeners
		w.table[unitID{part: virtualHosts, host: host}] = []build.Resource{virtualHostOf("81/"+host+":81", "v1")}
	})
}

// A service goes whose listener the client had refused: nothing is sent for the
// listener and the virtual hosts, which Envoy never had a route for, and the
// cluster does not wait for an answer that can't come.
func TestClusterOfRefusedListenerIsRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.start()
		w.withPort("p", 81, listenerOf("0.0.0.0_81", ""), routeOf("81", true))
		cds := e.get(cluster, "outbound|81||p")
		e.ask(endpoint, "outbound|81||p")
		e.take(endpoint, "-outbound|81||p")
		e.ack(cds)
		e.nack(e.get(listener, "0.0.0.0_81"), "error adding listener '0.0.0.0_81': duplicate address")
		e.quiet()
		w.change(mesh.ChangeSet{Services: mesh.Set[string]{"p": {}}}, func(s *mesh.Snapshot) {
			delete(s.Services, "p")
			for id := range w.table {
				if id.host == "p" || id.port == 81 {
					delete(w.table, id)
				}
			}
		})
		e.take(cluster, "-outbound|81||p")
		e.quiet()
		for _, k := range []kind{cluster, listener, virtualHost} {
			if s := w.statusOf("shop/web-1", k); s.State != Synced {
				t.Errorf("%s stays %s", k.label(), s.State)
			}
		}
	})
}
