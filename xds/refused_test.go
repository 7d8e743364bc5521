package xds

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ensign-mesh/ensign/xds/build"
)

func (w *world) breakA(mark string) {
	w.host("a", map[part][]build.Resource{clusters: {clusterOf(hostA, mark, "A")}})
}

// statusOf is how one type of a proxy stands.
func (w *world) statusOf(name string, k kind) TypeStatus {
	w.t.Helper()
	for _, p := range w.server.Proxies() {
		for _, s := range p.Types {
			if p.Name == name && s.TypeURL == k.url() {
				return s
			}
		}
	}
	w.t.Fatalf("%s has no status of %s", name, k.label())
	return TypeStatus{}
}

func TestLoneRefusalMarksThatProxyOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		e, other := w.connect("shop", "web", "web-1"), w.connect("shop", "db", "db-1")
		e.start()
		other.start()
		w.breakA("bad")
		e.nack(e.get(cluster, hostA), "Error adding/updating cluster(s) outbound|80||a: it is bad")
		e.take(endpoint, hostA)
		other.take(cluster, hostA)
		other.take(endpoint, hostA)
		e.quiet()
		s := w.statusOf("shop/web-1", cluster)
		if s.State != Nacked || len(s.Rejections) != 1 || s.Rejections[0].Resource != hostA || s.Rejections[0].Origins[0].Kind != "Service" {
			t.Errorf("status of the client that refused: %+v", s)
		}
		if s := w.statusOf("shop/db-1", cluster); s.State != Synced {
			t.Errorf("status of the other: %+v", s)
		}
		if holds := w.server.Holds(); len(holds) != 0 {
			t.Errorf("one refusal held the resource back: %+v", holds)
		}
		// Not again, until the content changes.
		e.ask(cluster, "*")
		e.quiet()
		w.breakA("good")
		e.take(cluster, hostA)
		e.take(endpoint, hostA)
		e.quiet()
		if s := w.statusOf("shop/web-1", cluster); s.State != Synced {
			t.Errorf("status after the mend: %+v", s)
		}
	})
}

// Two identities of one version hold the content back from the others, who get
// what was good; a version that takes it is not concerned.
func TestHoldAndRelease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		web, db := w.connect("shop", "web", "web-1"), w.connect("shop", "db", "db-1")
		good := web.begin()[cluster][hostA]
		db.start()
		silence(11)
		w.breakA("bad")
		for _, e := range []*envoy{web, db} {
			e.nack(e.get(cluster, hostA), "Error adding/updating cluster(s) outbound|80||a: it is bad")
			e.take(endpoint, hostA)
		}
		web.quiet()
		holds := w.server.Holds()
		if len(holds) != 1 || holds[0].Resource != hostA || len(holds[0].RefusedBy) != 2 || holds[0].EnvoyVersion != "1.40.0" || holds[0].Origins[0].Kind != "Service" {
			t.Fatalf("holds: %+v", holds)
		}

		if s := w.statusOf("shop/web-1", cluster); s.State != Nacked {
			t.Errorf("a client that refused what is held: %+v", s)
		}
		later := w.connect("shop", "web", "web-2")
		later.ask(cluster)
		r := later.take(cluster, hostA, "PassthroughCluster")
		if i := slices.IndexFunc(r.Resources, func(r *resourceMessage) bool { return r.Name == hostA }); r.Resources[i].Version != good {
			t.Error("a new client of the version did not get the last good content")
		}
		older := w.connect("shop", "web", "web-2")
		older.node.GetUserAgentBuildVersion().Version.MinorNumber = 39
		older.ask(cluster)
		r = older.get(cluster, hostA, "PassthroughCluster")
		if i := slices.IndexFunc(r.Resources, func(r *resourceMessage) bool { return r.Name == hostA }); r.Resources[i].Version == good {
			t.Error("another version was kept from the content too")
		}

		if released := w.server.Release(hostA); len(released) != 1 || len(w.server.Holds()) != 0 {
			t.Errorf("released %+v, left %+v", released, w.server.Holds())
		}
		for _, e := range []*envoy{web, db, later} {
			if r := e.get(cluster, hostA); r.Resources[0].Version == good {
				t.Error("after the release came the old content")
			} else {
				e.nack(r, "still bad: outbound|80||a")
			}
		}
		web.take(endpoint, hostA)
		web.quiet()
		if holds := w.server.Holds(); len(holds) != 0 {
			t.Errorf("released content is held again: %+v", holds)
		}
	})
}

// Two pods of one identity are one voice.
func TestOneIdentityCannotHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		for _, pod := range []string{"web-1", "web-2"} {
			e := w.connect("shop", "web", pod)
			e.ask(cluster)
			e.nack(e.get(cluster, hostA, "PassthroughCluster"), "bad: outbound|80||a")
			e.take(cluster, "PassthroughCluster")
			e.quiet()
		}
		if holds := w.server.Holds(); len(holds) != 0 {
			t.Errorf("held: %+v", holds)
		}
	})
}

func TestHoldEndsWithTheContent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := shop(t)
		for pod, sa := range map[string]string{"web-1": "web", "db-1": "db"} {
			e := w.connect("shop", sa, pod)
			e.ask(cluster)
			e.nack(e.get(cluster, hostA, "PassthroughCluster"), "bad: outbound|80||a")
			e.take(cluster, "PassthroughCluster")
			e.quiet()
		}
		if len(w.server.Holds()) != 1 {
			t.Fatalf("holds: %+v", w.server.Holds())
		}
		w.breakA("mended")
		if len(w.server.Holds()) != 0 {
			t.Errorf("holds after the content changed: %+v", w.server.Holds())
		}
	})
}

// A refusal that names nothing is narrowed down until the culprit is alone; the
// others arrive.
func TestUnnamedCulpritIsFound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t)
		var all []build.Resource
		for i := range 9 {
			all = append(all, clusterOf(fmt.Sprintf("c%d", i), "v1"))
		}
		w.base(all...)
		e := w.connect("shop", "web", "web-1")
		e.ask(cluster)
		accepted := map[string]bool{}
		for range 20 {
			r := e.next()
			if slices.Contains(contents(r), "c6") {
				e.nack(r, "something is wrong")
			} else {
				for _, name := range contents(r) {
					accepted[name] = true
				}
				e.ack(r)
			}
			if len(accepted) == 8 && w.statusOf("shop/web-1", cluster).State == Nacked {
				break
			}
		}
		e.quiet()
		s := w.statusOf("shop/web-1", cluster)
		if len(accepted) != 8 || len(s.Rejections) != 1 || s.Rejections[0].Resource != "c6" {
			t.Errorf("accepted %v, status %+v", accepted, s)
		}
	})
}

func TestMentions(t *testing.T) {
	for _, c := range []struct {
		text, name string
		want       bool
	}{
		{"Error adding/updating cluster(s) outbound|80||a: bad", "outbound|80||a", true},
		{"Error adding/updating cluster(s) outbound|80||a.b: bad", "outbound|80||a", false},
		{"cluster outbound|80||a.", "outbound|80||a", true},
		{"'0.0.0.0_80'", "0.0.0.0_80", true},
		{"0.0.0.0_8080", "0.0.0.0_80", false},
		{"10.0.0.0_80", "0.0.0.0_80", false},
		{"10.0.0.0_80, 0.0.0.0_80", "0.0.0.0_80", true},
		{"80/a:80 is bad", "80/a", false},
		{"", "x", false},
		{"x", "", false},
	} {
		if got := mentions(c.text, c.name); got != c.want {
			t.Errorf("mentions(%q, %q) = %v", c.text, c.name, got)
		}
	}
}
