package xds

import (
	"testing"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// versions collects what a client has of each kind, as Envoy remembers it.
type versions map[kind]map[string]string

func (v versions) note(k kind, r *deltaResponse) {
	if v[k] == nil {
		v[k] = map[string]string{}
	}
	for _, res := range r.Resources {
		v[k][res.Name] = res.Version
	}
}

// begin is start, answering the versions that the client then has.
func (e *envoy) begin() versions {
	e.t.Helper()
	v := versions{}
	e.ask(cluster)
	cds := e.get(cluster, "PassthroughCluster", "outbound|80||a")
	v.note(cluster, cds)
	e.ask(endpoint, "outbound|80||a")
	v.note(endpoint, e.take(endpoint, "outbound|80||a"))
	e.ack(cds)
	e.ask(listener)
	v.note(listener, e.take(listener, "0.0.0.0_80"))
	e.ask(extension, "rbac")
	v.note(extension, e.take(extension, "rbac"))
	e.ask(route, "80")
	v.note(route, e.take(route, "80"))
	e.ask(virtualHost)
	v.note(virtualHost, e.take(virtualHost, "80/a:80"))
	return v
}

// reconnect asks for everything with the versions of an earlier stream.
func (e *envoy) reconnect(v versions) {
	for k, names := range [kinds][]string{endpoint: {"outbound|80||a"}, extension: {"rbac"}, route: {"80"}} {
		e.say(&deltaRequest{TypeUrl: kind(k).url(), ResourceNamesSubscribe: names, InitialResourceVersions: v[kind(k)]})
		e.settle()
	}
}

func TestReconnectSendsNothingUnchanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		v := w.connect("shop", "web", "web-1").begin()
		e := w.connect("shop", "web", "web-1")
		e.reconnect(v)
		e.quiet()
		if got := w.server.Proxies(); len(got) != 2 || got[1].Types[0].State != Synced || got[1].Types[0].Resources != 2 {
			t.Errorf("after the reconnect: %+v", got)
		}
	})
}

func TestReconnectSendsOnlyTheDifference(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		v := w.connect("shop", "web", "web-1").begin()
		v[cluster]["outbound|80||old"] = "0"
		v[virtualHost]["80/a:80"] = "0"
		e := w.connect("shop", "web", "web-1")
		e.reconnect(v)
		e.take(virtualHost, "80/a:80")
		e.take(cluster, "-outbound|80||old")
		e.quiet()
	})
}

// A cluster that changed while the client was away needs its endpoints again,
// though these did not change.
func TestReconnectAfterClusterChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		v := w.connect("shop", "web", "web-1").begin()
		w.host("a", map[part][]build.Resource{clusters: {clusterOf("outbound|80||a", "v2", "A")}})
		e := w.connect("shop", "web", "web-1")
		e.say(&deltaRequest{TypeUrl: cluster.url(), InitialResourceVersions: v[cluster]})
		cds := e.get(cluster, "outbound|80||a")
		e.say(&deltaRequest{TypeUrl: endpoint.url(), ResourceNamesSubscribe: []string{"outbound|80||a"}, InitialResourceVersions: v[endpoint]})
		e.take(endpoint, "outbound|80||a")
		e.ack(cds)
		e.quiet()
	})
}

func TestEqualContentIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.start()
		w.change(mesh.ChangeSet{Config: true}, func(*mesh.Snapshot) {})
		e.quiet()
	})
}

func TestOneEndpointIsOneBuildForAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		var all []*envoy
		for range 10 {
			for _, ns := range []string{"shop", "bank"} {
				e := w.connect(ns, "web", "web-1")
				e.start()
				all = append(all, e)
			}
		}
		builds, encodes := w.counter(w.server.metrics.builds, "endpoint"), w.counter(w.server.metrics.encodes, "endpoint")
		sent := w.counter(w.server.metrics.sentBytes, "endpoint")
		w.endpointsOf("a", endpointsWith("outbound|80||a", "v2", "A"))
		for _, e := range all {
			e.take(endpoint, "outbound|80||a")
			e.quiet()
		}
		if b, n := w.counter(w.server.metrics.builds, "endpoint")-builds, w.counter(w.server.metrics.encodes, "endpoint")-encodes; b != 1 || n != 1 {
			t.Errorf("%d builds and %d encodes for 20 clients in 2 namespaces, want 1 and 1", b, n)
		}
		if each := (w.counter(w.server.metrics.sentBytes, "endpoint") - sent) / len(all); each > 512 {
			t.Errorf("%d bytes a client for one endpoint", each)
		}
		if got := w.counter(w.server.metrics.builds, "cluster"); got != 3 {
			t.Errorf("%d clusters were built, want the PassthroughCluster of two scopes and one shared cluster", got)
		}
	})
}
