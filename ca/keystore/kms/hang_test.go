//go:build cgo

package kms_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/keystore/kms"
	"github.com/ensign-mesh/ensign/test/lab/softhsm"
)

// bounded is how long a call into a module may take here.
const bounded = 2 * time.Second

func openHanging(t *testing.T, h *softhsm.Token, files *keystore.Store) *kms.Store {
	t.Helper()
	place, err := kms.Parse(h.URI(h.PINFile))
	if err != nil {
		t.Fatal(err)
	}
	s, err := kms.Open(t.Context(), kms.Config{Place: place, Keys: files, References: files, Timeout: bounded})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Answer(t)
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
	hsm, files := softhsm.NewHanging(t), sealed(t)
	s := openHanging(t, hsm, files)
	key := ensure(t, s, "root")
	if since, err := healthOf(key); signs(key) != nil || err != nil || !since.IsZero() {
		t.Fatalf("it is not well: %v since %s", err, since)
	}
	began := time.Now()
	hsm.Hang(t)
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
	hsm.Answer(t)
	until(t, "it signs again", func() bool { return signs(key) == nil })
	if since, err := healthOf(key); err != nil || !since.IsZero() {
		t.Errorf("it is unwell still: %v since %s", err, since)
	}
	until(t, "it makes keys again", func() bool { _, err := s.EnsureKey("root-next", nil); return err == nil })
	if n := hsm.Keys(t); n != 2 {
		t.Errorf("%d keys are in the module", n)
	}
}

// TestAModuleThatHangsIsLeft: the process ends without it.
func TestAModuleThatHangsIsLeft(t *testing.T) {
	hsm, files := softhsm.NewHanging(t), sealed(t)
	s := openHanging(t, hsm, files)
	key := ensure(t, s, "root")
	hsm.Hang(t)
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
	hsm, files := softhsm.NewHanging(t), sealed(t)
	s := openHanging(t, hsm, files)
	hsm.Hang(t)
	soon(t, "making a key", 2*bounded, func() error { _, err := s.EnsureKey("root", nil); return err })
	hsm.Answer(t)
	until(t, "it is made", func() bool { _, err := s.EnsureKey("root", nil); return err == nil })
	if err := signs(ensure(t, s, "root")); err != nil || hsm.Keys(t) != 1 {
		t.Errorf("%v, and there are %d keys", err, hsm.Keys(t))
	}
}

// TestNobodyAsksAndItIsSeen: a look now and then finds a module away that nobody needs
// for days, and back.
func TestNobodyAsksAndItIsSeen(t *testing.T) {
	hsm, files := softhsm.NewHanging(t), sealed(t)
	s := openHanging(t, hsm, files)
	key := ensure(t, s, "root")
	hsm.Hang(t)
	s.Look()
	if _, err := healthOf(key); !errors.Is(err, kms.ErrHangs) {
		t.Errorf("it hangs, and is unwell for %v", err)
	}
	hsm.Answer(t)
	until(t, "it is well", func() bool { s.Look(); _, err := healthOf(key); return err == nil })
	away := hsm.Objects() + ".away"
	if err := errors.Join(s.Close(), os.Rename(hsm.Objects(), away), os.Mkdir(hsm.Objects(), 0o700)); err != nil {
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
	if err := errors.Join(os.Remove(hsm.Objects()), os.Rename(away, hsm.Objects())); err != nil {
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

// TestAKeyThatIsGone ails itself, and not the place: another one can be made there.
func TestAKeyThatIsGone(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	s := open(t, hsm.URI(hsm.PINFile), files, files)
	key := ensure(t, s, "root")
	hsm.Forget(t)
	s.Look()
	since, err := healthOf(key)
	if !errors.Is(err, kms.ErrUnavailable) {
		t.Errorf("the key is gone, and says %v", err)
	}
	if _, err := s.Healthy(); err != nil {
		t.Errorf("no key could be made for %v", err)
	}
	s.Look()
	if again, err := healthOf(key); err == nil || !again.Equal(since) {
		t.Errorf("gone since %s, then since %s: %v", since, again, err)
	}
	if err := signs(ensure(t, s, "root-next")); err != nil {
		t.Error(err)
	}
}

// TestAPlaceWithoutKeysIsLookedAfter: the first key is to be made there some day.
func TestAPlaceWithoutKeysIsLookedAfter(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	s := open(t, hsm.URI(hsm.PINFile), files, files)
	if s.Look(); !well(s) {
		t.Fatal("it is there, and not well")
	}
	away := hsm.Objects() + ".away"
	if err := errors.Join(os.Rename(hsm.Objects(), away), os.Mkdir(hsm.Objects(), 0o700)); err != nil {
		t.Fatal(err)
	}
	if s.Look(); well(s) {
		t.Error("it is away, and well")
	}
	if err := errors.Join(os.Remove(hsm.Objects()), os.Rename(away, hsm.Objects())); err != nil {
		t.Fatal(err)
	}
	if s.Look(); !well(s) {
		t.Error("it is back, and not well")
	}
}

func well(s *kms.Store) bool { _, err := s.Healthy(); return err == nil }
