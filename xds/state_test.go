package xds

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/xds/build"
)

// classic is a state-of-the-world client.
type classic struct {
	t         testing.TB
	node      *corev3.Node
	stream    discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	responses chan *discoveryv3.DiscoveryResponse
}

func (w *world) connectClassic(ns, sa, pod string) *classic {
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(context.Background(), metadata.Pairs("ns", ns, "sa", sa)))
	w.t.Cleanup(cancel)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(w.conn()).StreamAggregatedResources(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &classic{t: w.t, node: nodeOf(ns, pod), stream: stream, responses: make(chan *discoveryv3.DiscoveryResponse, 100)}
	go func() {
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			c.responses <- r
		}
	}()
	return c
}

func (c *classic) say(r *discoveryv3.DiscoveryRequest) {
	r.Node, c.node = c.node, nil
	_ = c.stream.Send(r)
}

func (c *classic) ask(k kind, names ...string) {
	c.say(&discoveryv3.DiscoveryRequest{TypeUrl: k.url(), ResourceNames: names})
}

// take is the next response, acknowledged with the names that the client wants.
func (c *classic) take(k kind, wants []string, want ...string) *discoveryv3.DiscoveryResponse {
	c.t.Helper()
	r := c.get(k, want...)
	c.say(&discoveryv3.DiscoveryRequest{TypeUrl: r.TypeUrl, ResourceNames: wants, VersionInfo: r.VersionInfo, ResponseNonce: r.Nonce})
	return r
}

func (c *classic) get(k kind, want ...string) *discoveryv3.DiscoveryResponse {
	c.t.Helper()
	select {
	case r := <-c.responses:
		var got []string
		for _, packed := range r.Resources {
			got = append(got, nameOf(c.t, k, packed.Value))
		}
		slices.Sort(got)
		slices.Sort(want)
		if r.TypeUrl != k.url() || !slices.Equal(got, want) {
			c.t.Fatalf("got %s %v, want %s %v", r.TypeUrl, got, k.url(), want)
		}
		return r
	case <-time.After(5 * time.Second):
		c.t.Fatal("no response within 5 s")
		return nil
	}
}

func (c *classic) quiet() {
	c.t.Helper()
	synctest.Wait()
	select {
	case r := <-c.responses:
		c.t.Fatalf("got %s, want silence", r.TypeUrl)
	default:
	}
}

func nameOf(t testing.TB, k kind, value []byte) string {
	t.Helper()
	named := map[kind]interface {
		proto.Message
	}{cluster: &clusterv3.Cluster{}, endpoint: &endpointv3.ClusterLoadAssignment{}}[k]
	if err := proto.Unmarshal(value, named); err != nil {
		t.Fatal(err)
	}
	if c, ok := named.(*clusterv3.Cluster); ok {
		return c.Name
	}
	return named.(*endpointv3.ClusterLoadAssignment).ClusterName
}

func TestStateOfTheWorld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		c := w.connectClassic("shop", "web", "web-1")
		c.ask(cluster)
		c.take(cluster, nil, hostA, "PassthroughCluster")
		c.ask(endpoint, hostA)
		c.take(endpoint, []string{hostA}, hostA)
		c.quiet()
		// One cluster changed: all clusters, and the endpoints behind it.
		w.host("a", map[part][]build.Resource{clusters: {clusterOf(hostA, "v2", "A")}})
		first := c.take(cluster, nil, hostA, "PassthroughCluster")
		c.take(endpoint, []string{hostA}, hostA)
		c.quiet()
		// One endpoint changed: only it.
		w.endpointsOf("a", endpointsWith(hostA, "v2", "A"))
		c.take(endpoint, []string{hostA}, hostA)
		// A reconnect with the version of the same state is not answered.
		again := w.connectClassic("shop", "web", "web-1")
		again.say(&discoveryv3.DiscoveryRequest{TypeUrl: cluster.url(), VersionInfo: first.VersionInfo})
		again.quiet()
		// What is removed is missing, when nothing can refer to it any more.
		silence(11)
		w.drop("a")
		c.take(cluster, nil, "PassthroughCluster")
		c.quiet()
	})
}

func TestStateRefusalKeepsTheLastGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		c := w.connectClassic("shop", "web", "web-1")
		c.ask(cluster)
		good := c.take(cluster, nil, hostA, "PassthroughCluster")
		w.breakA("bad")
		bad := c.get(cluster, hostA, "PassthroughCluster")
		c.say(&discoveryv3.DiscoveryRequest{TypeUrl: cluster.url(), VersionInfo: good.VersionInfo, ResponseNonce: bad.Nonce, ErrorDetail: &statuspb.Status{Message: "no: outbound|80||a"}})
		// The other cluster of the refused state comes again, with the old content of the culprit.
		if r := c.take(cluster, nil, hostA, "PassthroughCluster"); r.VersionInfo != good.VersionInfo {
			t.Errorf("after the refusal came version %s, want the good one %s", r.VersionInfo, good.VersionInfo)
		}
		c.quiet()
		if s := w.statusOf("shop/web-1", cluster); s.State != Nacked || s.Rejections[0].Resource != hostA {
			t.Errorf("status: %+v", s)
		}
	})
}

func TestStaleNonceIsIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		c := w.connectClassic("shop", "web", "web-1")
		c.ask(endpoint, hostA)
		r := c.take(endpoint, []string{hostA}, hostA)
		w.endpointsOf("a", endpointsWith(hostA, "v2", "A"))
		newest := c.get(endpoint, hostA)
		// Says that it wants nothing, in answer to the older response.
		c.say(&discoveryv3.DiscoveryRequest{TypeUrl: endpoint.url(), ResponseNonce: r.Nonce})
		c.quiet()
		if s := w.statusOf("shop/web-1", endpoint); s.State != Stale || s.Resources != 1 {
			t.Errorf("a stale nonce was believed: %+v", s)
		}
		c.say(&discoveryv3.DiscoveryRequest{TypeUrl: endpoint.url(), ResourceNames: []string{hostA}, ResponseNonce: newest.Nonce})
		c.quiet()
		if s := w.statusOf("shop/web-1", endpoint); s.State != Synced {
			t.Errorf("after the right nonce: %+v", s)
		}

		e := w.connect("shop", "db", "db-1")
		e.ask(cluster)
		cds := e.get(cluster, hostA, "PassthroughCluster")
		for _, nonce := range []string{"999", cds.Nonce + "0"} {
			e.say(&deltaRequest{TypeUrl: cluster.url(), ResponseNonce: nonce, ErrorDetail: &statuspb.Status{Message: "bad"}})
		}
		e.quiet()
		if s := w.statusOf("shop/db-1", cluster); s.State != Stale || len(s.Rejections) != 0 {
			t.Errorf("a made-up nonce was believed: %+v", s)
		}
	})
}

// In this protocol the newest response holds all older ones, so only its nonce counts.
func TestLandingOfStates(t *testing.T) {
	w := newWatch(cluster)
	w.launch(&flight{nonce: "1"})
	w.launch(&flight{nonce: "2"})
	if w.land("1", true) != nil || len(w.flights) != 2 {
		t.Error("an older state's nonce was believed")
	}
	if w.land("2", true) == nil || len(w.flights) != 0 {
		t.Error("the newest state's nonce left something unanswered")
	}
}
