package xds

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ensign-mesh/ensign/xds/build"
)

func TestIdleScopesAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e := w.connect("shop", "web", "web-1")
		e.start()
		if got := testutil.ToFloat64(w.server.metrics.scopes); got != 1 {
			t.Fatalf("%v scopes with one client", got)
		}
		_ = e.stream.CloseSend()
		silence(4 * 60)
		other := w.connect("shop", "db", "db-1")
		other.start() // keeps it
		silence(10 * 60)
		if got := testutil.ToFloat64(w.server.metrics.scopes); got != 1 {
			t.Fatalf("%v scopes while one is used", got)
		}
		_ = other.stream.CloseSend()
		silence(6 * 60)
		synctest.Wait()
		if scopes, units := len(w.server.catalog.scopes), len(w.server.catalog.cache); scopes+units > 0 || len(w.server.catalog.groups) > 0 {
			t.Errorf("%d scopes and %d units are kept for nobody", scopes, units)
		}
	})
}

// Two servers that got the same mesh on different ways say the same.
func TestDeterminism(t *testing.T) {
	var said []*deltaResponse
	for _, order := range [][]string{{"a", "b", "c"}, {"c", "a", "b"}} {
		bubble(t, func(t *testing.T) {
			w := newWorld(t)
			for i, host := range order {
				w.host(host, map[part][]build.Resource{clusters: {clusterOf(host, order[len(order)-1-i], "old")}})
			}
			for _, host := range order {
				w.host(host, map[part][]build.Resource{clusters: {clusterOf(host, "", host)}})
			}
			e := w.connect("shop", "web", "web-1")
			e.ask(cluster)
			said = append(said, e.take(cluster, "a", "b", "c"))
		})
	}
	if !slices.EqualFunc(said[0].Resources, said[1].Resources, func(a, b *resourceMessage) bool {
		return a.Name == b.Name && a.Version == b.Version && slices.Equal(a.Resource.Value, b.Resource.Value)
	}) {
		t.Errorf("first %v, then %v", said[0], said[1])
	}
}

func TestPushIsASpan(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	tracer := trace.NewTracerProvider(trace.WithSpanProcessor(recorder)).Tracer("test")
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.Tracer, c.Context = tracer, context.Background() })
		e := w.connect("shop", "web", "web-1")
		e.ask(cluster)
		e.take(cluster)
		w.base(clusterOf("a", ""))
		spans := recorder.Ended()
		said := map[string]int64{}
		for _, a := range spans[len(spans)-1].Attributes() {
			said[string(a.Key)] = a.Value.AsInt64()
		}
		if len(spans) != 2 || said["streams"] != 1 || said["changed.cluster"] != 1 || said["generation"] != 2 {
			t.Errorf("%d spans, the last with %v", len(spans), said)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Logger: newWorld(t).server.config.Logger, Registerer: newWorld(t).reg}
	if c, err := good.validated(); err != nil || c.SendTimeout != 30*time.Second || c.MaxNames != 10_000 {
		t.Errorf("defaults: %+v, %v", c, err)
	}
	for name, spoil := range map[string]func(*Config){
		"no logger":          func(c *Config) { c.Logger = nil },
		"no registerer":      func(c *Config) { c.Registerer = nil },
		"negative":           func(c *Config) { c.AckTimeout = -1 },
		"tracer, no context": func(c *Config) { c.Tracer = trace.NewTracerProvider().Tracer("") },
	} {
		bad := good
		spoil(&bad)
		if _, err := bad.validated(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
