package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
)

func newTestState(dir string) *state {
	return newState(dir, &decoder{shapes: newShapes(), skipped: func(string, string) {}})
}

func mustLook(t testing.TB, s *state, now time.Time) outcome {
	t.Helper()
	out, err := s.look(now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFileMustBeGoneForAWhile(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	write(t, dir, "a.yaml", account("a", "1"))
	s := newTestState(dir)
	mustLook(t, s, now)
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	for _, after := range []time.Duration{0, goneFor - 1} {
		if out := mustLook(t, s, now.Add(after)); !out.update.Empty() || out.again == 0 {
			t.Fatalf("after %v: %+v", after, out)
		}
	}
	write(t, dir, "a.yaml", account("a", "1"))
	mustLook(t, s, now.Add(goneFor))
	if err := os.Remove(filepath.Join(dir, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	if out := mustLook(t, s, now.Add(2*goneFor)); !out.update.Empty() {
		t.Fatalf("the time of the first gap counts for the second: %+v", out.update)
	}
	if out := mustLook(t, s, now.Add(3*goneFor)); len(out.update.Deletes) != 1 {
		t.Fatalf("the file is gone for good: %+v", out.update)
	}
}

// A file that is written anew piece by piece is empty, then short, then whole.
func TestShrunkFileMustSettle(t *testing.T) {
	dir := t.TempDir()
	whole := account("a", "1") + "---\n" + account("b", "1")
	write(t, dir, "x.yaml", whole)
	s := newTestState(dir)
	mustLook(t, s, time.Now())
	for _, piece := range []string{"", account("a", "1") + "---\n"} {
		write(t, dir, "x.yaml", piece)
		if out := mustLook(t, s, time.Now()); !out.update.Empty() || out.again == 0 || len(out.problems) > 0 {
			t.Fatalf("while %d bytes are written: %+v", len(piece), out)
		}
	}
	if out := mustLook(t, s, time.Now().Add(shrunkFor)); len(out.update.Deletes) != 1 || out.again != 0 {
		t.Fatalf("after it was left so: %+v", out)
	}
}

// Two writes of one size within the grain of the clock look the same.
func TestSameStampIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	write(t, dir, "a.yaml", account("a", "1"))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newTestState(dir)
	mustLook(t, s, info.ModTime().Add(time.Second))
	write(t, dir, "a.yaml", account("a", "2"))
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if out := mustLook(t, s, info.ModTime().Add(3*time.Second)); len(out.update.Upserts) != 1 {
		t.Error("the second write went unseen")
	}
}

func TestOddFolders(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(t *testing.T, dir string)
		problem string
	}{
		"symlink to itself":  {func(t *testing.T, dir string) { symlink(t, ".", filepath.Join(dir, "loop")) }, "loop: the folder is inside itself"},
		"symlink to nowhere": {func(t *testing.T, dir string) { symlink(t, "nowhere", filepath.Join(dir, "x.yaml")) }, ""},
		"pipe": {func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "x.yaml"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "x.yaml: it can't be read: it is no regular file"},
		"large file": {func(t *testing.T, dir string) { write(t, dir, "x.yaml", strings.Repeat("#", maxFileSize+1)) }, "the file has more than 4194304 bytes"},
		"many documents": {func(t *testing.T, dir string) {
			write(t, dir, "x.yaml", strings.Repeat("--- {kind: a, apiVersion: b}\n", maxDocuments+1))
		}, ""},
		"many objects": {func(t *testing.T, dir string) {
			var all strings.Builder
			for i := range maxDocuments + 1 {
				fmt.Fprintf(&all, "--- {kind: ServiceAccount, apiVersion: v1, metadata: {name: a%d}}\n", i)
			}
			write(t, dir, "x.yaml", all.String())
		}, "x.yaml:10001: document 10001: the file has more than 10000 documents"},
		"deep folders": {func(t *testing.T, dir string) {
			write(t, dir, strings.Repeat("d/", maxFolderTree+1)+"x.yaml", account("a", "1"))
		}, "folders are nested deeper than 32"},
		"deep document": {func(t *testing.T, dir string) { write(t, dir, "x.yaml", strings.Repeat("[", 5000)) }, "x.yaml:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "good.yaml", account("good", "1"))
			c.arrange(t, dir)
			out := mustLook(t, newTestState(dir), time.Now())
			if len(out.update.Upserts) != 1 {
				t.Errorf("upserts %+v, want the good file alone", out.update.Upserts)
			}
			if c.problem == "" && len(out.problems) > 0 || c.problem != "" && (len(out.problems) != 1 || !strings.Contains(Describe(out.problems[0]), c.problem)) {
				t.Errorf("problems %+v, want %q", out.problems, c.problem)
			}
		})
	}
}

func symlink(t *testing.T, to, path string) {
	t.Helper()
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

// What can't be looked at any more keeps its objects.
func TestBlindPathKeepsItsObjects(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "sub/a.yaml", account("a", "1"))
	s := newTestState(dir)
	mustLook(t, s, time.Now())
	if err := os.RemoveAll(filepath.Join(dir, "sub")); err != nil {
		t.Fatal(err)
	}
	symlink(t, "sub", filepath.Join(dir, "sub")) // too many levels of symlinks
	for i := range 3 {
		out := mustLook(t, s, time.Now().Add(time.Duration(i)*time.Second))
		if !out.update.Empty() || len(out.problems) != 1 {
			t.Fatalf("update %+v, problems %+v", out.update, out.problems)
		}
	}
}

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x.yaml", "# first\n---\nkind: List\napiVersion: v1\nitems:\n- apiVersion: a\n  metadata: {name: n}\n  spec:\n    http:\n    - timeout: 1s\n    - match:\n      - headers:\n          x user: {exact: a}\n")
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ref := mesh.Ref{Key: mesh.Key{Name: "n"}, Where: "x.yaml:6"}
	for field, want := range map[string]string{
		"spec.http[1].match[0].headers[x user]": "x.yaml:13",
		"spec.http[0].timeout":                  "x.yaml:10",
		"spec.http[7]":                          "x.yaml:9",
		"nothing":                               "x.yaml:6",
	} {
		if got := s.Locate([]mesh.Problem{{Ref: ref, Field: field}})[0].Ref.Where; got != want {
			t.Errorf("%s at %s, want %s", field, got, want)
		}
	}
	gone := mesh.Problem{Ref: mesh.Ref{Where: "gone.yaml:1"}, Field: "spec"}
	if got := s.Locate([]mesh.Problem{gone})[0]; got != gone {
		t.Errorf("got %+v", got)
	}
}
