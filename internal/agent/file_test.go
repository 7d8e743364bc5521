package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAFileIsReplacedWholeAndPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kept")
	write(t, path+".new", "of an agent that was killed")
	if err := os.Chmod(path+".new", 0o644); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"first", "second and longer", ""} {
		if err := writeFile(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := readOwn(path, 100)
		if err != nil || string(got) != content {
			t.Errorf("%q, %v; want %q", got, err, content)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v; want mode 0600", info, err)
		}
		if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("something is left behind: %v", err)
		}
	}
	if err := writeFile(filepath.Join(path, "below a file"), nil); err == nil || !strings.Contains(err.Error(), "writing "+path) {
		t.Errorf("%v", err)
	}
}

func TestWhatOthersMayHaveWrittenIsNotRead(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	write(t, good, "content")
	for name, prepare := range map[string]func(path string) error{
		"link":     func(path string) error { return os.Symlink(good, path) },
		"readable": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o640)) },
		"writable": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o602)) },
		"folder":   func(path string) error { return os.Mkdir(path, 0o700) },
		"pipe":     func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"large":    func(path string) error { return os.WriteFile(path, make([]byte, 101), 0o600) },
	} {
		path := filepath.Join(dir, name)
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		if got, err := readOwn(path, 100); err == nil {
			t.Errorf("%s: read %q", name, got)
		}
	}
	if got, err := readOwn(good, 100); err != nil || string(got) != "content" {
		t.Errorf("a good one: %q, %v", got, err)
	}
}
