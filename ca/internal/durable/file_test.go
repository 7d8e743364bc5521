package durable

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.key")
	for _, text := range []string{"one", "two, and longer", ""} {
		if err := WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != text {
			t.Errorf("read %q, want %q", got, text)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left := names(t, filepath.Dir(path)); len(left) != 1 {
		t.Errorf("folder holds %v", left)
	}
}

// TestCrashBetweenTempAndRename leaves the old state, and the next start clears up.
func TestCrashBetweenTempAndRename(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.key")
	if err := WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := writeTemp(path, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Here the process dies.
	if got := read(t, path); got != "old" {
		t.Errorf("read %q after the crash", got)
	}
	if len(names(t, dir)) != 2 {
		t.Fatal("the crash left nothing: the test tests nothing")
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); len(left) != 1 || left[0] != "a.key" {
		t.Errorf("after sweeping: %v", left)
	}
	if got := read(t, path); got != "old" {
		t.Errorf("read %q after sweeping", got)
	}
}

func TestSweepLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.key", ".hidden", "x.unfinished-notes", ".a.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); len(left) != 4 {
		t.Errorf("left %v", left)
	}
}

func TestSweepFileLeavesOtherWritersAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.pem", "b.pem"} {
		if _, err := writeTemp(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := SweepFile(filepath.Join(dir, "a.pem")); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); len(left) != 1 || !strings.HasPrefix(left[0], ".b.pem") {
		t.Errorf("left %v", left)
	}
}

func TestErrorsAreReported(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "no", "such")
	if WriteFile(missing, nil, 0o600) == nil || Rename(missing, missing) == nil || Sweep(missing) == nil || SyncDir(missing) == nil {
		t.Error("a folder that is not there was written to")
	}
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if WriteFile(filepath.Join(dir, "taken"), nil, 0o600) == nil {
		t.Error("a folder was replaced by a file")
	}
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("a refused write left %v", left)
	}
}

// TestKill is the real thing: a process that writes without pause is killed at
// random moments; the file is always one of the two whole texts.
func TestKill(t *testing.T) {
	const size = 1 << 16
	path := filepath.Join(t.TempDir(), "a.key")
	if os.Getenv("DURABLE_WRITER") != "" {
		for i := byte(0); ; i++ {
			if err := WriteFile(os.Getenv("DURABLE_WRITER"), whole(i%2, size), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := WriteFile(path, whole(0, size), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "DURABLE_WRITER="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(30+7*i) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		if got := read(t, path); got != string(whole(0, size)) && got != string(whole(1, size)) {
			t.Fatalf("after kill %d the file is torn: %d bytes", i, len(got))
		}
	}
	if err := Sweep(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
}

func whole(b byte, size int) []byte {
	return fmt.Append(nil, string(make([]byte, size/2)), fmt.Sprintf("%0*d", size/2, b))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	return found
}
