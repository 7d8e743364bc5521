package xds

import (
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/test/meshgen"
	"github.com/ensign-mesh/ensign/xds/build"
)

// A catalog that followed a mesh through its changes, building only what each
// made dirty, holds what one holds that saw the last mesh alone.
func TestFollowingChangesIsBuildingAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		followed := openCatalog(t)
		builder := mesh.NewBuilder(meshgen.TrustDomain)
		snap, changes, _ := builder.Apply(mesh.Update{Upserts: meshgen.Mesh(t, 10)})
		followed.update(snap, changes)
		scopes := acquireAll(followed)
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			snap, changes, _ = builder.Apply(edit(t))
			followed.update(snap, changes)
		}
		anew := openCatalog(t)
		anew.update(snap, mesh.ChangeSet{})
		for i, want := range acquireAll(anew) {
			compareViews(t, scopes[i], want)
		}
	})
}

// edit changes or removes a few objects.
func edit(t *rapid.T) mesh.Update {
	var u mesh.Update
	for range rapid.IntRange(1, 3).Draw(t, "edits") {
		o := meshgen.Object(t)
		if rapid.Bool().Draw(t, "remove") {
			u.Deletes = append(u.Deletes, o.Ref)
		} else {
			u.Upserts = append(u.Upserts, o)
		}
	}
	return u
}

func openCatalog(t *rapid.T) *catalog {
	m := newMetrics(prometheus.NewRegistry())
	return newCatalog(m, slog.New(slog.DiscardHandler), time.Hour)
}

func acquireAll(c *catalog) []*scope {
	var out []*scope
	for _, namespace := range meshgen.Namespaces {
		for _, vhds := range []bool{true, false} {
			out = append(out, c.acquire(build.Scope{Namespace: namespace, VHDS: vhds}))
		}
	}
	return out
}

func compareViews(t *rapid.T, got, want *scope) {
	for k := range kinds {
		has, should := got.view.byName[k], want.view.byName[k]
		names := slices.Sorted(maps.Keys(has))
		if expected := slices.Sorted(maps.Keys(should)); !slices.Equal(names, expected) {
			t.Fatalf("scope %+v has %s %v, want %v", got.key, kind(k).label(), names, expected)
		}
		for _, name := range names {
			if has[name].version != should[name].version {
				t.Fatalf("scope %+v: %s %s is out of date: %q, want %q", got.key, kind(k).label(), name, has[name].value, should[name].value)
			}
			if !slices.Equal(has[name].origins, should[name].origins) {
				t.Fatalf("scope %+v: %s %s is of %v, want %v", got.key, kind(k).label(), name, has[name].origins, should[name].origins)
			}
		}
	}
}
