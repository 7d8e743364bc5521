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
