//go:build cgo

package kms_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/keystore/kms"
	"github.com/ensign-mesh/ensign/internal/need"
)

// hanging is a real token behind a module that stands still when told to.
type hanging struct {
	token
	file string
}

func newHanging(t *testing.T) hanging {
	t.Helper()
	h := hanging{token: newToken(t)}
	h.file = filepath.Join(h.dir, "hang")
	t.Setenv("ENSIGN_TEST_MODULE", h.module)
	t.Setenv("ENSIGN_TEST_HANG", h.file)
	h.module = filepath.Join(h.dir, "hanging.so")
	out, err := exec.CommandContext(t.Context(), need.CCompiler(t), "-shared", "-fPIC", "-o", h.module, "testdata/hanging.c", "-ldl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return h
}

func (h hanging) hang(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(h.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h hanging) answer(t *testing.T) {
	t.Helper()
	if err := os.Remove(h.file); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// bounded is how long a call into a module may take here.
const bounded = 2 * time.Second

func (h hanging) open(t *testing.T, files *keystore.Store) *kms.Store {
	t.Helper()
	place, err := kms.Parse(h.uri(h.pinFile))
	if err != nil {
		t.Fatal(err)
	}
	s, err := kms.Open(t.Context(), kms.Config{Place: place, Keys: files, References: files, Timeout: bounded})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.answer(t)
		until(t, "nobody is in the module", func() bool { _, err := s.Healthy(); return !errors.Is(err, kms.ErrHangs) })
		_ = s.Close()
	})
	return s
}

// soon wants something to end soon, as hanging.
func soon(t *testing.T, what string, limit time.Duration, do func() error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- do() }()
	select {
	case err := <-ended:
		if !errors.Is(err, kms.ErrHangs) || !errors.Is(err, kms.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(limit + bounded/2 + time.Second):
		t.Fatalf("%s hangs with the module", what)
	}
}

// healthOf is what a key says of itself.
func healthOf(key any) (time.Time, error) {
	return key.(interface{ Healthy() (time.Time, error) }).Healthy()
}

// TestAModuleThatHangs holds up nobody: the first call ends with its time, those behind
// it at once, and when the module answers again the key signs, without a restart.
func TestAModuleThatHangs(t *testing.T) {
	hsm, files := newHanging(t), sealed(t)
	s := hsm.open(t, files)
	key := ensure(t, s, "root")
	if since, err := healthOf(key); signs(key) != nil || err != nil || !since.IsZero() {
		t.Fatalf("it is not well: %v since %s", err, since)
	}
	began := time.Now()
	hsm.hang(t)
	soon(t, "signing", 2*bounded, func() error { return signs(key) })
	for range 5 {
		soon(t, "signing again", 0, func() error { return signs(key) })
		soon(t, "making a key", 0, func() error { _, err := s.EnsureKey("root-next", nil); return err })
	}
	if read, err := s.ReadKey("root"); err != nil || !equal(read, key) {
		t.Errorf("reading asks the module: %v", err)
	} else if since, err := healthOf(read); !errors.Is(err, kms.ErrHangs) || since.Before(began.Add(-time.Second)) || since.After(time.Now()) {
		t.Errorf("the key is unwell for %v, since %s", err, since)
	}
	if _, err := s.Healthy(); !errors.Is(err, kms.ErrHangs) {
		t.Errorf("the next key could not be made for %v", err)
	}
	hsm.answer(t)
	until(t, "it signs again", func() bool { return signs(key) == nil })
	if since, err := healthOf(key); err != nil || !since.IsZero() {
		t.Errorf("it is unwell still: %v since %s", err, since)
	}
	until(t, "it makes keys again", func() bool { _, err := s.EnsureKey("root-next", nil); return err == nil })
	if n := hsm.keys(t); n != 2 {
		t.Errorf("%d keys are in the module", n)
	}
}

// TestAModuleThatHangsIsLeft: the process ends without it.
func TestAModuleThatHangsIsLeft(t *testing.T) {
	hsm, files := newHanging(t), sealed(t)
	s := hsm.open(t, files)
	key := ensure(t, s, "root")
	hsm.hang(t)
	soon(t, "signing", 2*bounded, func() error { return signs(key) })
	ended := make(chan error, 1)
	go func() { ended <- s.Close() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("closing waits for the module")
	}
}

// TestAKeyThatIsMadeWhileItHangs is found, when the module has made it at last.
func TestAKeyThatIsMadeWhileItHangs(t *testing.T) {
	hsm, files := newHanging(t), sealed(t)
	s := hsm.open(t, files)
	hsm.hang(t)
	soon(t, "making a key", 2*bounded, func() error { _, err := s.EnsureKey("root", nil); return err })
	hsm.answer(t)
	until(t, "it is made", func() bool { _, err := s.EnsureKey("root", nil); return err == nil })
	if err := signs(ensure(t, s, "root")); err != nil || hsm.keys(t) != 1 {
		t.Errorf("%v, and there are %d keys", err, hsm.keys(t))
	}
}

// TestNobodyAsksAndItIsSeen: a look now and then finds a module away that nobody needs
// for days, and back.
func TestNobodyAsksAndItIsSeen(t *testing.T) {
	hsm, files := newHanging(t), sealed(t)
	s := hsm.open(t, files)
	key := ensure(t, s, "root")
	hsm.hang(t)
	s.Look()
	if _, err := healthOf(key); !errors.Is(err, kms.ErrHangs) {
		t.Errorf("it hangs, and is unwell for %v", err)
	}
	hsm.answer(t)
	until(t, "it is well", func() bool { s.Look(); _, err := healthOf(key); return err == nil })
	away := hsm.objects() + ".away"
	if err := errors.Join(s.Close(), os.Rename(hsm.objects(), away), os.Mkdir(hsm.objects(), 0o700)); err != nil {
		t.Fatal(err)
	}
	s.Look()
	first, err := healthOf(key)
	if !errors.Is(err, kms.ErrUnavailable) || errors.Is(err, kms.ErrHangs) || first.IsZero() {
		t.Errorf("its token is away, and it is unwell for %v since %s", err, first)
	}
	s.Look()
	if again, _ := healthOf(key); !again.Equal(first) {
		t.Errorf("away since %s, and a moment later since %s", first, again)
	}
	if _, err := s.Healthy(); !errors.Is(err, kms.ErrUnavailable) {
		t.Errorf("the next key could not be made for %v", err)
	}
	if err := errors.Join(os.Remove(hsm.objects()), os.Rename(away, hsm.objects())); err != nil {
		t.Fatal(err)
	}
	if s.Look(); signs(key) != nil {
		t.Error("it is back and does not sign")
	}
	if _, err := healthOf(key); err != nil {
		t.Error(err)
	}
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never so: " + what)
		}
	}
}
