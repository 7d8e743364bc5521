package manifest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/mesh"
)

// TestSettling: files are written, spoiled, moved and removed at random. At every
// look no object is defined by two files in force, a file is in force wholly or
// not at all, and an update leads from the last picture to this one. When all
// files are whole and agree, what is in force is what they say.
func TestSettling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "settle")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		s := newTestState(dir)
		world := map[mesh.Ref]mesh.Object{}
		now := time.Now().Add(time.Hour)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			disturb(t, dir)
			now = now.Add(time.Second)
			for range 2 { // a file must be gone for a while
				now = now.Add(goneFor)
				out, err := s.look(now)
				if err != nil {
					t.Fatal(err)
				}
				follow := maps.Clone(world)
				for _, ref := range out.update.Deletes {
					delete(follow, ref)
				}
				for _, o := range out.update.Upserts {
					follow[o.Ref.ID()] = o
				}
				if !maps.Equal(follow, s.inForce) {
					t.Fatalf("the update leads to %v, in force is %v", follow, s.inForce)
				}
				world = follow
				checkOwners(t, s)
			}
		}
		repair(t, dir)
		want := map[string]string{}
		for i := range 3 {
			want[fmt.Sprintf("own-%d", i)] = fmt.Sprintf("f%d.yaml", i)
		}
		for range 2 {
			now = now.Add(time.Second)
			if out, err := s.look(now); err != nil || len(out.problems) > 0 {
				t.Fatalf("after repair: %v, %+v", err, out.problems)
			}
		}
		got := map[string]string{}
		for ref, o := range s.inForce {
			got[ref.Name], _ = splitPlace(o.Ref.Where)
		}
		if !maps.Equal(got, want) {
			t.Fatalf("after repair in force: %v, want %v", got, want)
		}
	})
}

// disturb writes or removes one file of a few objects that files dispute.
func disturb(t *rapid.T, dir string) {
	path := filepath.Join(dir, fmt.Sprintf("f%d.yaml", rapid.IntRange(0, 2).Draw(t, "file")))
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID[string]).Draw(t, "objects")
	slices.Sort(names)
	text := ""
	for _, n := range names {
		text += account(n, fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "version"))) + "---\n"
	}
	switch rapid.IntRange(0, 4).Draw(t, "how") {
	case 0:
		os.Remove(path)
		return
	case 1:
		text += "kind: ["
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func repair(t *rapid.T, dir string) {
	for i := range 3 {
		path := filepath.Join(dir, fmt.Sprintf("f%d.yaml", i))
		if err := os.WriteFile(path, []byte(account(fmt.Sprintf("own-%d", i), "1")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func checkOwners(t *rapid.T, s *state) {
	owners := map[mesh.Ref]string{}
	for name, f := range s.files {
		if f.good == nil {
			continue
		}
		for _, d := range f.good.documents {
			if other, ok := owners[d.ref.ID()]; ok {
				t.Fatalf("%s is in force from %s and %s", d.ref, other, name)
			}
			owners[d.ref.ID()] = name
			if got := s.inForce[d.ref.ID()]; got != d.object() {
				t.Fatalf("%s is not in force as %s says it", d.ref, name)
			}
		}
	}
	if len(owners) != len(s.inForce) {
		t.Fatalf("%d objects in force, files define %d", len(s.inForce), len(owners))
	}
}

// A file that can't be taken because of one object is not taken at all, and says
// every conflict.
func TestConflictHoldsTheWholeFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", account("a", "1")+"---\n"+account("b", "1"))
	s := newTestState(dir)
	mustLook(t, s, time.Now())
	write(t, dir, "b.yaml", account("a", "2")+"---\n"+account("b", "2")+"---\n"+account("c", "2"))
	out := mustLook(t, s, time.Now())
	if !out.update.Empty() || len(out.problems) != 2 || !strings.Contains(Describe(out.problems[1]), "b.yaml:5: ServiceAccount shop/b") {
		t.Errorf("update %+v, problems %+v", out.update, out.problems)
	}
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	mustLook(t, s, time.Now())
	if out := mustLook(t, s, time.Now().Add(goneFor)); len(out.update.Upserts) != 3 || len(out.update.Deletes) != 0 || len(out.problems) != 0 {
		t.Errorf("after the other file went: %+v", out)
	}
}

func TestFolderThatWasUnmounted(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", account("a", "1"))
	s := newTestState(dir)
	mustLook(t, s, time.Now())
	s.device++ // as if the files had been on another device
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.look(time.Now()); err == nil || len(s.inForce) != 1 {
		t.Errorf("an empty mount point counts as deletion: %v", err)
	}
}

func TestDescribeAndOrder(t *testing.T) {
	list := []mesh.Problem{
		{Ref: mesh.Ref{Where: "b.yaml:2"}, Message: "m3"},
		{Ref: mesh.Ref{Where: "a.yaml:10"}, Message: "m2"},
		{Ref: mesh.Ref{Kind: "Pod", Key: mesh.Key{Namespace: "n", Name: "p"}, Where: "a.yaml:9"}, Field: "spec", Message: "m1", Fix: "write x"},
	}
	sortProblems(list)
	err := &LoadError{Dir: "/d", Problems: list}
	want := "loading the manifests of /d: 3 problems\n  a.yaml:9: Pod n/p: spec: m1; write x\n  a.yaml:10: m2\n  b.yaml:2: m3"
	if err.Error() != want {
		t.Errorf("got %s\nwant %s", err, want)
	}
}
