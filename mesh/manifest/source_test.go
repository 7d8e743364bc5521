package manifest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"

	"github.com/ensign-mesh/ensign/mesh"
)

// follower runs a source and keeps what it handed over.
type follower struct {
	t        *testing.T
	source   *Source
	registry *prometheus.Registry
	mu       sync.Mutex
	objects  map[mesh.Ref]mesh.Object
	updates  []mesh.Update
	problems []mesh.Problem
}

// follow starts a source on dir and waits for its first load.
func follow(t *testing.T, dir string, rescan time.Duration) *follower {
	t.Helper()
	f := &follower{t: t, objects: map[mesh.Ref]mesh.Object{}, registry: prometheus.NewRegistry()}
	var err error
	if f.source, err = New(Config{Dir: dir, Rescan: rescan, Metrics: f.registry}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.source.Run(ctx, f.apply) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("run:", err)
		}
	})
	f.until("first load", func() bool { return len(f.updates) > 0 })
	return f
}

func (f *follower) apply(u mesh.Update, problems []mesh.Problem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ref := range u.Deletes {
		delete(f.objects, ref.ID())
	}
	for _, o := range u.Upserts {
		f.objects[o.Ref.ID()] = o
	}
	f.updates, f.problems = append(f.updates, u), problems
}

// until waits up to 5 s for a condition.
func (f *follower) until(what string, holds func() bool) {
	f.t.Helper()
	for range 500 {
		f.mu.Lock()
		ok := holds()
		f.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.t.Fatalf("%s: did not come; objects %v, problems %+v", what, f.names(), f.problems)
}

// stays watches for a while that a condition goes on to hold.
func (f *follower) stays(what string, holds func() bool) {
	f.t.Helper()
	for range 40 {
		f.mu.Lock()
		ok := holds()
		f.mu.Unlock()
		if !ok {
			f.t.Fatalf("%s: it does not stay", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (f *follower) names() string {
	var out []string
	for ref := range f.objects {
		out = append(out, ref.String())
	}
	return strings.Join(out, ", ")
}

// value is the label "v" of a service account; "" if there is none.
func (f *follower) value(name string) string {
	o, ok := f.objects[mesh.Ref{Kind: "ServiceAccount", Key: mesh.Key{Namespace: "shop", Name: name}}]
	if !ok {
		return ""
	}
	return o.Value.(*corev1.ServiceAccount).Labels["v"]
}

func (f *follower) is(name, value string) func() bool {
	return func() bool { return f.value(name) == value }
}

// saying waits for a problem with this text.
func (f *follower) saying(text string) func() bool {
	return func() bool {
		for _, p := range f.problems {
			if strings.Contains(Describe(p), text) {
				return true
			}
		}
		return false
	}
}

func account(name, v string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: %s, namespace: shop, labels: {v: %q}}\n", name, v)
}

func policy(name, extra string) string {
	return fmt.Sprintf("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: %s, namespace: shop}\nspec:\n  selector: {matchLabels: {app: web}}\n%s", name, extra)
}

func TestEditsArrive(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", account("a", "1"))
	write(t, dir, ".hidden.yaml", account("hidden", "1"))
	write(t, dir, "notes.txt", "no manifest")
	f := follow(t, dir, time.Hour)
	if f.names() != "ServiceAccount shop/a" {
		t.Fatalf("first load: %s", f.names())
	}
	write(t, dir, "a.yaml", account("a", "2"))
	f.until("edit in place", f.is("a", "2"))
	write(t, dir, "new/deep/b.yml", account("b", "1"))
	f.until("file in new folders", f.is("b", "1"))
	write(t, dir, "new/deep/b.yml", account("b", "2"))
	f.until("edit in new folders", f.is("b", "2"))
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	f.until("delete", f.is("a", ""))
	f.stays("the rest", f.is("b", "2"))
}

func TestAtomicRename(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", account("a", "1"))
	f := follow(t, dir, time.Hour)
	write(t, dir, ".a.yaml.tmp", account("a", "2"))
	if err := os.Rename(filepath.Join(dir, ".a.yaml.tmp"), filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	f.until("rename over", f.is("a", "2"))
}

// An editor that moves the old file away first leaves a gap, in which a look
// must not see a deletion.
func TestRenameGapIsNoDeletion(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", account("a", "1"))
	f := follow(t, dir, 5*time.Millisecond) // looks fall into every gap
	for range 10 {
		path := filepath.Join(dir, "a.yaml")
		if err := os.Rename(path, path+"~"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Millisecond)
		if err := os.Rename(path+"~", path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	f.stays("the object", f.is("a", "1"))
	for _, u := range f.updates {
		if len(u.Deletes) > 0 {
			t.Errorf("deleted in a gap: %+v", u.Deletes)
		}
	}
}

// A ConfigMap mount: files are symlinks into ..data, itself a symlink that is swapped.
func TestConfigMapSwap(t *testing.T) {
	dir := t.TempDir()
	publish := func(version string, names ...string) {
		for _, name := range names {
			write(t, dir, "..v"+version+"/"+name+".yaml", account(name, version))
		}
		if err := os.Symlink("..v"+version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link := func(name string) {
		if err := os.Symlink("..data/"+name+".yaml", filepath.Join(dir, name+".yaml")); err != nil {
			t.Fatal(err)
		}
	}
	publish("1", "a", "b")
	link("a")
	link("b")
	f := follow(t, dir, time.Hour)
	if len(f.objects) != 2 {
		t.Fatalf("first load: %s; ..data must not be read beside the links", f.names())
	}
	publish("2", "a", "c")
	link("c")
	if err := os.RemoveAll(filepath.Join(dir, "..v1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	f.until("swap", func() bool { return f.value("a") == "2" && f.value("b") == "" && f.value("c") == "2" })
}

func TestHalfWrittenFileKeepsLastGood(t *testing.T) {
	dir := t.TempDir()
	whole := account("a", "1") + "---\n" + account("b", "1")
	write(t, dir, "x.yaml", whole)
	f := follow(t, dir, time.Hour)
	write(t, dir, "x.yaml", strings.Replace(whole, `"1"`, `"2"`, 1)[:len(whole)-30])
	f.until("problem", f.saying("the last good version of the file stays in force"))
	f.stays("both objects", func() bool { return f.value("a") == "1" && f.value("b") == "1" })
	if got := f.source.Problems(); len(got) == 0 {
		t.Error("Problems does not tell")
	}
	if got, err := testutil.GatherAndCount(f.registry, "ensign_manifest_problems"); err != nil || got != 1 {
		t.Errorf("metric: %d, %v", got, err)
	}
	write(t, dir, "x.yaml", strings.ReplaceAll(whole, `"1"`, `"2"`))
	f.until("the whole file", func() bool { return f.value("a") == "2" && f.value("b") == "2" && len(f.problems) == 0 })
}

func TestFolderThatVanishesKeepsLastGood(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "manifests")
	write(t, dir, "a.yaml", account("a", "1"))
	f := follow(t, dir, 50*time.Millisecond)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	f.until("problem", f.saying("the folder can't be read"))
	f.stays("the object", f.is("a", "1"))
	write(t, dir, "a.yaml", account("a", "2"))
	f.until("another folder in its place", func() bool { return f.value("a") == "2" && len(f.problems) == 0 })
	write(t, dir, "a.yaml", account("a", "3"))
	f.until("an edit there", f.is("a", "3"))
}

func TestManyQuickEdits(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", account("a", "0"))
	f := follow(t, dir, time.Hour)
	for i := range 200 {
		write(t, dir, "a.yaml", account("a", fmt.Sprint(i+1)))
		write(t, dir, fmt.Sprintf("b%d.yaml", i%5), account(fmt.Sprintf("b%d", i%5), fmt.Sprint(i)))
		time.Sleep(3 * time.Millisecond)
	}
	f.until("the last edit", func() bool { return f.value("a") == "200" && f.value("b4") == "199" })
	if n := len(f.updates); n > 40 {
		t.Errorf("%d updates of 400 quick edits: they are not gathered", n)
	}
}

func TestOnlyWhatChangedIsHandedOver(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x.yaml", account("a", "1")+"---\n"+account("b", "1"))
	write(t, dir, "y.yaml", account("c", "1"))
	f := follow(t, dir, time.Hour)
	b := f.objects[mesh.Ref{Kind: "ServiceAccount", Key: mesh.Key{Namespace: "shop", Name: "b"}}]
	write(t, dir, "x.yaml", "# a line more\n"+account("a", "2")+"---\n"+account("b", "1"))
	f.until("edit", f.is("a", "2"))
	for _, o := range f.updates[len(f.updates)-1].Upserts {
		if o.Ref.Name == "c" {
			t.Error("an object of a file that did not change was handed over")
		}
		if o.Ref.Name == "b" && (o.Value != b.Value || o.Ref.Where == b.Ref.Where) {
			t.Error("an object that only moved must keep its value and get its new place")
		}
	}
}

func TestMovedObject(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "z.yaml", account("a", "1")+"---\n"+account("b", "1"))
	f := follow(t, dir, time.Hour)
	write(t, dir, "a.yaml", account("a", "2"))
	f.until("conflict", f.saying("a.yaml:1: ServiceAccount shop/a: metadata.name: ServiceAccount shop/a is already defined at z.yaml:1"))
	if f.value("a") != "1" {
		t.Error("the file that came later took the object over")
	}
	write(t, dir, "z.yaml", account("b", "1"))
	f.until("resolved", func() bool { return f.value("a") == "2" && f.value("b") == "1" && len(f.problems) == 0 })
	for _, u := range f.updates {
		if len(u.Deletes) > 0 {
			t.Errorf("a move deleted %+v", u.Deletes)
		}
	}
}

// A new policy that can't be read denies until it is corrected; a known one stays.
func TestUnreadablePolicyIsClosed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "known.yaml", policy("known", "  action: ALLOW\n"))
	f := follow(t, dir, time.Hour)
	write(t, dir, "known.yaml", policy("known", "  akshun: DENY\n"))
	write(t, dir, "new.yaml", policy("new", "  akshun: DENY\n")+"---\n"+policy("beside", ""))
	f.until("problems", func() bool { return f.saying("known.yaml:6")() && f.saying("new.yaml:6")() })
	find := func(name string) any {
		return f.objects[mesh.Ref{Kind: "AuthorizationPolicy", Key: mesh.Key{Namespace: "shop", Name: name}}].Value
	}
	if _, ok := find("known").(*mesh.Unreadable); ok {
		t.Error("the last good version of the known policy is gone")
	}
	for _, name := range []string{"new", "beside"} {
		if u, ok := find(name).(*mesh.Unreadable); !ok || u.Selector["app"] != "web" {
			t.Errorf("policy %s of the new file is not closed: %+v", name, find(name))
		}
	}
	write(t, dir, "new.yaml", policy("new", "  action: DENY\n"))
	f.until("corrected", func() bool {
		_, closed := find("new").(*mesh.Unreadable)
		return !closed && find("new") != nil && find("beside") == nil
	})
}

func TestFirstLoadIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", account("a", "1"))
	write(t, dir, "b.yaml", strings.Replace(account("b", "1"), "namespace", "namespase", 1))
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(context.Background(), func(mesh.Update, []mesh.Problem) { t.Error("applied") })
	var refused *LoadError
	if !errors.As(err, &refused) || len(refused.Problems) != 1 || !strings.Contains(err.Error(), "b.yaml:3: ServiceAccount default/b: metadata.namespase") {
		t.Errorf("got %v", err)
	}
	if _, err := New(Config{Dir: filepath.Join(dir, "none")}); err == nil {
		t.Error("a folder that is not there is no error")
	}
	if _, err := New(Config{Dir: filepath.Join(dir, "a.yaml")}); err == nil {
		t.Error("a file is no folder")
	}
}
