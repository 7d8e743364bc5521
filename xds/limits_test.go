package xds

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"

	"github.com/ensign-mesh/ensign/xds/build"
)

func TestUnknownTypesAreAnsweredEmpty(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		for url, label := range map[string]string{
			"type.googleapis.com/istio.networking.nds.v1.NameTable":                "nds",
			"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret": "secret",
			"type.googleapis.com/made.up":                                          "other",
		} {
			e.say(&deltaRequest{TypeUrl: url, ResourceNamesSubscribe: []string{"x"}})
			r := e.next()
			if r.TypeUrl != url || len(r.Resources)+len(r.RemovedResources) > 0 || r.Nonce == "" {
				t.Errorf("answer to %s: %v", url, r)
			}
			e.ack(r)
			e.quiet()
			if got := w.counter(w.server.metrics.unknown, label); got != 1 {
				t.Errorf("unknown{type=%q} = %d", label, got)
			}
		}
		e.start() // the stream lives
	})
}

func TestFloodsAreRefused(t *testing.T) {
	many := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("outbound|80||%d", i))
		}
		return names
	}
	for reason, c := range map[string]struct {
		request *deltaRequest
		want    codes.Code
	}{
		"subscriptions": {&deltaRequest{TypeUrl: endpoint.url(), ResourceNamesSubscribe: many(10_000)}, codes.ResourceExhausted},
		"versions":      {&deltaRequest{TypeUrl: cluster.url(), InitialResourceVersions: versionsOf(many(10_001))}, codes.ResourceExhausted},
		"name_size":     {&deltaRequest{TypeUrl: endpoint.url(), ResourceNamesSubscribe: []string{strings.Repeat("x", 1025)}}, codes.InvalidArgument},
	} {
		t.Run(reason, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := shop(t)
				e, other := w.connect("shop", "web", "web-1"), w.connect("shop", "db", "db-1")
				other.start()
				e.say(c.request)
				e.refusedWith(c.want)
				if reason == "versions" {
					reason = "subscriptions"
				}
				if got := w.counter(w.server.metrics.rejected, reason); got != 1 {
					t.Errorf("rejected{reason=%q} = %d", reason, got)
				}
				w.endpointsOf("a", endpointsWith(hostA, "v2", "A"))
				other.take(endpoint, hostA)
			})
		})
	}
}

func versionsOf(names []string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		out[name] = "0"
	}
	return out
}

// Names of what the mesh has are no flood.
func TestManyServicesAreNoFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		var names []string
		var all []build.Resource
		for i := range 3000 {
			names = append(names, fmt.Sprintf("outbound|80||%d", i))
			all = append(all, endpointsWith(names[i], ""))
		}
		w.base(all...)
		e := w.connect("shop", "web", "web-1")
		e.ask(endpoint, names...)
		e.take(endpoint, names...)
		e.quiet()
	})
}

func TestHugeRequestIsRefused(t *testing.T) {
	data, err := Codec().Marshal(&deltaRequest{TypeUrl: strings.Repeat("x", maxRequest)})
	if err != nil {
		t.Fatal(err)
	}
	in := &received{message: &discoveryv3.DeltaDiscoveryRequest{}}
	if err := Codec().Unmarshal(data, in); err != nil || in.size <= maxRequest || normal(in).typeURL != "" {
		t.Errorf("a request of %d bytes was decoded (%v)", in.size, err)
	}
}

// A client that never reads is cut off; others do not notice.
func TestClientThatNeverReads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		w.connectDeaf("shop", "web", "web-1")
		other := w.connect("shop", "db", "db-1")
		other.ask(cluster)
		other.take(cluster) // there are none yet
		big := strings.Repeat("x", 1<<20)
		for i := range 4 {
			w.base(clusterOf("c", fmt.Sprint(i, big)))
			other.take(cluster, "c")
			silence(11) // it has not acknowledged the one before either
		}
		silence(31)
		synctest.Wait()
		if got := w.counter(w.server.metrics.rejected, "stalled"); got != 1 {
			t.Errorf("rejected{reason=stalled} = %d", got)
		}
		if got := len(w.server.open()); got != 1 {
			t.Errorf("%d streams are open, want the one of the other client", got)
		}
	})
}

// A client that refuses in a loop is slowed, alone.
func TestLoopIsSlowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		other := w.connect("shop", "db", "db-1")
		other.start()
		loop := w.connect("shop", "web", "web-1")
		go func() {
			for range 1_000 {
				loop.say(&deltaRequest{TypeUrl: "type.googleapis.com/made.up"})
			}
		}()
		start := time.Now()
		for i := range 10 {
			w.endpointsOf("a", endpointsWith(hostA, fmt.Sprint("v", i+2), "A"))
			other.take(endpoint, hostA)
		}
		if waited := time.Since(start); waited > 0 {
			t.Errorf("the other client waited %s", waited)
		}
		silence(10)
		synctest.Wait()
		if handled := w.counter(w.server.metrics.unknown, "other"); handled < askBurst || handled > askBurst+10*askRate+1 {
			t.Errorf("%d requests were taken within 10 s", handled)
		}
	})
}

// A client that refuses everything is sent each thing a bounded number of times.
func TestRefusingEverythingEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.ask(cluster)
		sent := 0
		for ; ; sent++ {
			synctest.Wait()
			select {
			case r := <-e.responses:
				e.nack(r, "no")
				continue
			default:
			}
			break
		}
		if s := w.statusOf("shop/web-1", cluster); sent > 5 || len(s.Rejections) != 2 {
			t.Errorf("%d responses; rejections: %+v", sent, s.Rejections)
		}
	})
}
