// Package softhsm makes tokens of a real PKCS#11 module, SoftHSM's, alone in their
// folders, and has modules hang that tests need to hang.
package softhsm

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
)

// Token is a token named ensign. The process finds it by its environment, so that a test
// has one at a time, and does not run beside others.
type Token struct {
	// Module is the path of the module, PINFile that of the file with the token's PIN.
	Module, PINFile string
	dir             string
}

// New makes a token.
func New(t *testing.T) *Token {
	t.Helper()
	k := &Token{Module: need.SoftHSM(t), dir: t.TempDir()}
	k.PINFile = filepath.Join(k.dir, "pin")
	conf := filepath.Join(k.dir, "softhsm2.conf")
	text := "directories.tokendir = " + k.Objects() + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := errors.Join(os.Mkdir(k.Objects(), 0o700), os.WriteFile(conf, []byte(text), 0o600), os.WriteFile(k.PINFile, []byte("1234\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	run(t, "softhsm2-util", "--init-token", "--free", "--label", "ensign", "--pin", "1234", "--so-pin", "5678")
	return k
}

//go:embed testdata/hanging.c
var hanging string

// NewHanging makes a token whose module stands still from Hang to Answer.
func NewHanging(t *testing.T) *Token {
	t.Helper()
	k, compiler := New(t), need.CCompiler(t)
	source := filepath.Join(k.dir, "hanging.c")
	if err := os.WriteFile(source, []byte(hanging), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ENSIGN_TEST_MODULE", k.Module)
	t.Setenv("ENSIGN_TEST_HANG", k.hang())
	k.Module = filepath.Join(k.dir, "hanging.so")
	run(t, compiler, "-shared", "-fPIC", "-o", k.Module, source, "-ldl")
	return k
}

func run(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
}

func (k *Token) hang() string { return filepath.Join(k.dir, "hang") }

// Hang has every call stand still that looks for a key, makes one, or signs.
func (k *Token) Hang(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(k.hang(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Answer has them go on.
func (k *Token) Answer(t *testing.T) {
	t.Helper()
	if err := os.Remove(k.hang()); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// Objects is the folder of the token's objects: moved away, the token is away.
func (k *Token) Objects() string { return filepath.Join(k.dir, "tokens") }

// URI is the place of the token for --root-key.
func (k *Token) URI(pinFile string) string {
	return fmt.Sprintf("pkcs11:module-path=%s;token=ensign?pin-source=%s", k.Module, pinFile)
}

// Forget removes all keys from the token.
func (k *Token) Forget(t *testing.T) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(k.Objects(), "*", "*.object"))
	for _, path := range found {
		if filepath.Base(path) != "token.object" {
			err = errors.Join(err, os.Remove(path))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Keys counts the private keys of the token: two objects a pair.
func (k *Token) Keys(t *testing.T) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(k.Objects(), "*", "*.object"))
	if err != nil {
		t.Fatal(err)
	}
	return (len(found) - 1) / 2 // one is the token itself
}
