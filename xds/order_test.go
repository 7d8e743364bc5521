package xds

import (
	"testing"

	"github.com/ensign-mesh/ensign/xds/build"
)

// shop is a world with one service in Istio's names.
func shop(t *testing.T, tune ...func(*Config)) *world {
	w := newWorld(t, tune...)
	w.base(listenerOf("0.0.0.0_80", ""), routeOf("80", true), clusterOf("PassthroughCluster", ""), extensionOf("rbac", "v1"))
	w.host("a", map[part][]build.Resource{
		clusters:     {clusterOf("outbound|80||a", "v1", "A")},
		endpoints:    {endpointsWith("outbound|80||a", "v1", "A")},
		virtualHosts: {virtualHostOf("80/a:80", "v1")},
	})
	return w
}

// start takes the whole first configuration, as Envoy does.
func (e *envoy) start() {
	e.t.Helper()
	e.ask(cluster)
	cds := e.get(cluster, "PassthroughCluster", "outbound|80||a")
	e.ask(endpoint, "outbound|80||a", "PassthroughCluster")
	e.take(endpoint, "outbound|80||a", "-PassthroughCluster")
	e.ack(cds)
	e.ask(listener)
	e.take(listener, "0.0.0.0_80")
	e.ask(extension, "rbac")
	e.take(extension, "rbac")
	e.ask(route, "80")
	e.take(route, "80")
	e.ask(virtualHost)
	e.take(virtualHost, "80/a:80")
	e.quiet()
}

func TestFirstConfiguration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		shop(t).connect("shop", "web", "web-1").start()
	})
}

func TestListenersWaitForClusters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := shop(t).connect("shop", "web", "web-1")
		e.ask(cluster)
		e.ask(listener)
		cds := e.get(cluster, "PassthroughCluster", "outbound|80||a")
		e.quiet()
		e.ack(cds)
		e.take(listener, "0.0.0.0_80")
	})
}

func TestChangedClusterBringsItsEndpointsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.start()
		w.host("a", map[part][]build.Resource{clusters: {clusterOf("outbound|80||a", "v2", "A")}})
		cds := e.get(cluster, "outbound|80||a")
		// Envoy acknowledges only when the endpoints came.
		e.take(endpoint, "outbound|80||a")
		e.ack(cds)
		e.quiet()
	})
}

func TestNewServiceMakesBeforeItBreaks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.start()
		w.host("b", map[part][]build.Resource{
			clusters:     {clusterOf("outbound|80||b", "v1", "B")},
			endpoints:    {endpointsWith("outbound|80||b", "v1", "B")},
			virtualHosts: {virtualHostOf("80/b:80", "v1")},
		})
		cds := e.get(cluster, "outbound|80||b")
		e.quiet() // routes wait until the cluster is there
		e.ask(endpoint, "outbound|80||b")
		eds := e.get(endpoint, "outbound|80||b")
		e.ack(cds)
		e.quiet()
		e.ack(eds)
		e.take(virtualHost, "80/b:80")
		e.quiet()
	})
}

func TestClustersAreRemovedLast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.start()
		w.drop("a")
		// The last virtual host of a route leaves a name without a body behind.
		vhds := e.get(virtualHost, "-80/a:80", "80/ensign.invalid")
		e.quiet()
		e.ack(vhds)
		e.take(cluster, "-outbound|80||a")
		e.say(&deltaRequest{TypeUrl: endpoint.url(), ResourceNamesUnsubscribe: []string{"outbound|80||a"}})
		e.quiet()
	})
}

func TestSilentClientHoldsNothingForLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		e := shop(t).connect("shop", "web", "web-1")
		e.ask(cluster)
		e.ask(listener)
		e.get(cluster, "PassthroughCluster", "outbound|80||a")
		e.quiet()
		silence(11)
		e.take(listener, "0.0.0.0_80")
	})
}

func TestPolicyWaitsForNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.start()
		w.base(listenerOf("0.0.0.0_80", "v2"), routeOf("80", true), clusterOf("PassthroughCluster", "v2"), extensionOf("rbac", "v2"))
		e.get(cluster, "PassthroughCluster")
		e.get(endpoint, "-PassthroughCluster")
		e.take(extension, "rbac")
		e.quiet() // the listener waits for the cluster
	})
}
