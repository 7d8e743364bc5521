//go:build cgo

package kms_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/ca/keystore/kms"
	"github.com/ensign-mesh/ensign/test/lab/softhsm"
)

// TestAWrongPINIsTriedOnce: a few wrong ones would lock a token.
func TestAWrongPINIsTriedOnce(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	if err := os.WriteFile(hsm.PINFile, []byte("9999"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, hsm.URI(hsm.PINFile), files, files)
	for n, want := range []string{"CKR_PIN_INCORRECT", "not tried again", "not tried again"} {
		if _, err := s.EnsureKey("root", nil); !errors.Is(err, kms.ErrUnavailable) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "9999") {
			t.Errorf("attempt %d: %v, want %q", n, err, want)
		}
	}
	if err := os.WriteFile(hsm.PINFile, []byte("1234"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := signs(ensure(t, s, "root")); err != nil {
		t.Errorf("with the right PIN: %v", err)
	}
}

// TestPINFilesAreLookedAt: an unreadable one is not an empty PIN.
func TestPINFilesAreLookedAt(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	for name, c := range map[string]struct {
		spoil func() error
		want  string
	}{
		"gone":             {func() error { return os.Remove(hsm.PINFile) }, "no such file"},
		"readable by all":  {func() error { return os.Chmod(hsm.PINFile, 0o644) }, "chmod 600"},
		"empty":            {func() error { return os.WriteFile(hsm.PINFile, []byte("\n"), 0o600) }, "has no PIN"},
		"something else's": {func() error { return os.WriteFile(hsm.PINFile, make([]byte, 4096), 0o600) }, "has no PIN"},
	} {
		if err := errors.Join(os.WriteFile(hsm.PINFile, []byte("1234"), 0o600), os.Chmod(hsm.PINFile, 0o600), c.spoil()); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, hsm.URI(hsm.PINFile), files, files).EnsureKey("root", nil); !errors.Is(err, kms.ErrUnavailable) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestAPINFileMayMove: --root-key says where it is now.
func TestAPINFileMayMove(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	before := open(t, hsm.URI(hsm.PINFile), files, files)
	ensure(t, before, "root")
	moved := filepath.Join(t.TempDir(), "pin")
	if err := errors.Join(before.Close(), os.Rename(hsm.PINFile, moved)); err != nil {
		t.Fatal(err)
	}
	key, err := open(t, hsm.URI(moved), files, files).ReadKey("root")
	if err != nil {
		t.Fatal(err)
	}
	if err := signs(key); err != nil {
		t.Error(err)
	}
}
