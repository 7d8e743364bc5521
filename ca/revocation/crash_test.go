package revocation

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// snapshot is every file of a folder.
func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	found, files := map[string][]byte{}, []string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files = append(files, e.Name())
	}
	for _, name := range files {
		if found[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func restore(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// between are the folders that a crash can leave on the way from one to another, files
// being replaced whole in this order; the last is the whole way. Each comes once with
// what is half written beside it, under the name that unfinished files have.
func between(before, after map[string][]byte, order []string) []map[string][]byte {
	var states []map[string][]byte
	now := map[string][]byte{}
	for name, text := range before {
		now[name] = text
	}
	clone := func() map[string][]byte {
		c := map[string][]byte{}
		for name, text := range now {
			c[name] = text
		}
		return c
	}
	for _, name := range order {
		if bytes.Equal(before[name], after[name]) {
			continue
		}
		half := clone()
		half["."+name+".unfinished-1"] = after[name][:len(after[name])/2]
		states = append(states, half)
		now[name] = after[name]
		states = append(states, clone())
	}
	return states
}

// TestCrashBetweenEveryTwoSteps of an introduction and of an act, with the ledger
// already written, as it is before any file is: the next process makes a sound set
// that has everything, of a revision that no other set ever had.
func TestCrashBetweenEveryTwoSteps(t *testing.T) {
	a := newAuthority(t, "a")
	first, _ := a.leaf("reviews", "a", true)
	a.act(Revoke, Serial, serialOf(first))
	a.refreshed()
	seen := map[uint64][][]byte{}
	step := func(name string, do func()) {
		before, _ := a.crls.Current()
		seen[before.Revision] = before.CRLs
		from := snapshot(t, a.dir)
		do()
		whole, _ := a.crls.Current()
		to := snapshot(t, a.dir)
		states := between(from, to, []string{"b.pem", "a.crl", "b.crl", markFile})
		if len(states) < 4 {
			t.Fatalf("%s: only %d states", name, len(states))
		}
		for i, state := range states {
			t.Run(name+" "+strconv.Itoa(i), func(t *testing.T) { a.crashed(t, state, whole, seen) })
		}
	}
	step("introduction", func() { a.introduce("b", 30*day) })
	second, _ := a.leaf("ratings", "b", true)
	third, _ := a.leaf("ratings", "a", true)
	step("act", func() {
		a.act(Revoke, ServiceAccount, "shop/ratings")
		if got := serials(t, a.refreshed()); !slices.Equal(got, []string{serialOf(first), serialOf(second), serialOf(third)}) {
			t.Fatalf("lists %v", got)
		}
	})
}

// crashed opens the CRLs on what a crash left.
func (a *authority) crashed(t *testing.T, state map[string][]byte, whole *Set, seen map[uint64][][]byte) {
	w := *a.world
	b := &authority{world: &w, keys: a.keys, certs: a.certs, dir: restore(t, state)}
	b.reopen()
	if len(b.certs) == 2 && state["b.pem"] == nil {
		// The CA never had it introduced, so it asks again.
		if err := b.crls.Introduce(t.Context(), b.certs["b"]); err != nil {
			t.Fatal(err)
		}
	}
	set, _ := b.crls.Current()
	if b.sound(set); len(set.CRLs) != len(whole.CRLs) || set.Problem != "" || !slices.Equal(serials(t, set), serials(t, whole)) {
		t.Errorf("%+v", set)
	}
	if earlier, ok := seen[set.Revision]; ok && !slices.EqualFunc(earlier, set.CRLs, bytes.Equal) {
		t.Errorf("revision %d was another set before", set.Revision)
	}
	for revision := range seen {
		if set.Revision < revision {
			t.Errorf("revision %d after %d", set.Revision, revision)
		}
	}
	for name := range snapshot(t, b.dir) {
		if name[0] == '.' {
			t.Errorf("%s was left", name)
		}
	}
}

// TestALostRevision: whatever becomes of the file, revisions grow.
func TestALostRevision(t *testing.T) {
	for name, ruin := range map[string]func(path string) error{
		"lost":    os.Remove,
		"garbage": func(path string) error { return os.WriteFile(path, []byte(`{"revision":-1}`), 0o600) },
		"empty":   func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		a := newAuthority(t, "a")
		for range 3 {
			cert, _ := a.leaf("reviews", "a", true)
			a.act(Revoke, Serial, serialOf(cert))
			a.refreshed()
		}
		// Counting began at the clock, long ago.
		a.crls.mark.Revision -= 1000
		cert, _ := a.leaf("reviews", "a", true)
		a.act(Revoke, Serial, serialOf(cert))
		before := a.refreshed()
		if err := ruin(filepath.Join(a.dir, markFile)); err != nil {
			t.Fatal(err)
		}
		a.reopen()
		if after, _ := a.crls.Current(); after.Revision <= before.Revision || len(after.CRLs) != 1 {
			t.Errorf("%s: revision %d after %d", name, after.Revision, before.Revision)
		}
	}
}
