package xds

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/xds/build"
)

// faulty is a catalog whose builder panics on a service named "bad" once it is
// told to, and on every inbound side but the unknown.
func faulty(panicking *bool) *catalog {
	c := newCatalog(newMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler), time.Hour)
	c.make = maker{
		unit: func(_ *mesh.Snapshot, id unitID, _ build.Scope) []build.Resource {
			if id.part != clusters {
				return nil
			}
			if *panicking && id.host == "bad" {
				panic("index out of range")
			}
			return []build.Resource{clusterOf(id.host, "v")}
		},
		inbound: func(_ *mesh.Snapshot, in *mesh.Inbound) []build.Resource {
			if in != nil {
				panic("nil pointer")
			}
			return []build.Resource{clusterOf("deny-all", "v")}
		},
	}
	return c
}

func pictureOf(hosts ...string) *mesh.Snapshot {
	s := &mesh.Snapshot{Config: &mesh.Config{}, Services: map[string]*mesh.Service{}, Endpoints: map[string]*mesh.EndpointSet{}}
	for _, host := range hosts {
		s.Services[host] = &mesh.Service{Host: host, ExportTo: []string{"*"}}
		s.Endpoints[host] = &mesh.EndpointSet{Host: host}
	}
	return s
}

func TestAPanicInTheBuilderKeepsWhatWasInForce(t *testing.T) {
	panicking := false
	c := faulty(&panicking)
	c.update(pictureOf("bad", "good"), mesh.ChangeSet{})
	s := c.acquire(build.Scope{Namespace: "shop"})
	before := s.view.byName[cluster]["bad"]
	panicking = true
	c.update(pictureOf("bad", "good", "new"), mesh.ChangeSet{Services: mesh.Set[string]{"bad": {}, "good": {}, "new": {}}})
	if got := s.view.byName[cluster]; got["bad"] != before || got["new"] == nil || got["good"] == nil {
		t.Errorf("clusters %v", got)
	}
	if n := testutil.ToFloat64(c.metrics.panics); n != 1 {
		t.Errorf("%v panics counted, want 1", n)
	}
}

func TestAnInboundSideThatCannotBeBuiltDenies(t *testing.T) {
	panicking := false
	c := faulty(&panicking)
	c.update(pictureOf(), mesh.ChangeSet{})
	g := c.join(&mesh.Inbound{Namespace: "shop"})
	if got := g.view.byName[cluster]; len(got) != 1 || got["deny-all"] == nil {
		t.Errorf("%v, want what unknown pods get", got)
	}
}
