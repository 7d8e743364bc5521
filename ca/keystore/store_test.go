package keystore_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ensign-mesh/ensign/ca/keystore"
)

func open(t *testing.T, dir string, kek keystore.KEK) *keystore.Store {
	t.Helper()
	s, err := keystore.Open(dir, kek)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newP256() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func newEd25519() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

func TestSecretsSurviveAndAreSealed(t *testing.T) {
	dir, kek := filepath.Join(t.TempDir(), "data", "keys"), keystore.NewKEK()
	s := open(t, dir, kek)
	secret := []byte("the quick brown fox jumps")
	if err := s.Write("token", secret); err != nil {
		t.Fatal(err)
	}
	if err := s.Write("token", secret); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, dir, kek).Read("token"); err != nil || !bytes.Equal(got, secret) {
		t.Fatalf("read %q, %v", got, err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "token.key"))
	if err != nil || bytes.Contains(raw, secret[:8]) {
		t.Errorf("the secret is on disk in clear, or %v", err)
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Dir(dir): 0o700, filepath.Join(dir, "token.key"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
	if _, err := s.Read("other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a secret that is not there: %v", err)
	}
}

func TestEverySealIsDifferent(t *testing.T) {
	dir := t.TempDir() + "/keys"
	s := open(t, dir, keystore.NewKEK())
	seen := map[string]bool{}
	for range 20 {
		if err := s.Write("a", []byte("same")); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "a.key"))
		if err != nil || seen[string(raw)] {
			t.Fatalf("a seal came twice, or %v", err)
		}
		seen[string(raw)] = true
	}
}

func TestWrongKEK(t *testing.T) {
	dir := t.TempDir() + "/keys"
	if err := open(t, dir, keystore.NewKEK()).Write("a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	other := open(t, dir, keystore.NewKEK())
	if _, err := other.Read("a"); !errors.Is(err, keystore.ErrWrongKEK) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := other.EnsureKey("a", newP256); !errors.Is(err, keystore.ErrWrongKEK) {
		t.Errorf("a key that does not open was replaced: %v", err)
	}
	if _, err := keystore.Open(dir, keystore.KEK{}); !errors.Is(err, keystore.ErrNoKEK) {
		t.Errorf("no KEK: %v", err)
	}
}

// TestEveryDamageIsSeen flips each byte of a sealed file, and cuts it everywhere.
func TestEveryDamageIsSeen(t *testing.T) {
	dir := t.TempDir() + "/keys"
	s := open(t, dir, keystore.NewKEK())
	if err := s.Write("a", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.key")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, i int, raw []byte, name string) {
		if err := os.WriteFile(filepath.Join(dir, name+".key"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(name); err == nil || got != nil || (!errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrWrongKEK)) {
			t.Errorf("%s at %d: %q, %v", what, i, got, err)
		}
	}
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 1
		refused("flipped", i, flipped, "a")
		refused("cut", i, good[:i], "a")
	}
	refused("grown", len(good), append(bytes.Clone(good), 0), "a")
	refused("renamed", 0, good, "b")
}

func TestKeys(t *testing.T) {
	s := open(t, t.TempDir()+"/keys", keystore.NewKEK())
	for name, generate := range map[string]func() (crypto.Signer, error){"p256": newP256, "ed25519": newEd25519} {
		made, err := s.EnsureKey(name, generate)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			again, err := s.EnsureKey(name, generate)
			if err != nil || !again.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(made.Public()) {
				t.Errorf("%s: another key at the second start, %v", name, err)
			}
		}
	}
	if err := s.Write("text", []byte("not a key")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadKey("text"); !errors.Is(err, keystore.ErrDamaged) {
		t.Errorf("text was read as a key: %v", err)
	}
	broken := errors.New("no entropy")
	if _, err := s.EnsureKey("x", func() (crypto.Signer, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestEnsureKeyMakesOneKey(t *testing.T) {
	s := open(t, t.TempDir()+"/keys", keystore.NewKEK())
	var wg sync.WaitGroup
	keys := make([]crypto.Signer, 16)
	for i := range keys {
		wg.Go(func() { keys[i], _ = s.EnsureKey("a", newP256) })
	}
	wg.Wait()
	for _, k := range keys {
		if k == nil || !k.Public().(*ecdsa.PublicKey).Equal(keys[0].Public()) {
			t.Fatal("concurrent callers got different keys")
		}
	}
}

func TestNames(t *testing.T) {
	s := open(t, t.TempDir()+"/keys", keystore.NewKEK())
	for _, name := range []string{"", "../a", "a/b", "A", "a.b", ".a", "-a", "a-", strings.Repeat("a", 65), "a\x00"} {
		if s.Write(name, nil) == nil {
			t.Errorf("%q was written", name)
		}
		if _, err := s.Read(name); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q was looked for: %v", name, err)
		}
	}
	if s.Write("big", make([]byte, 1<<20+1)) == nil {
		t.Error("a secret over 1 MiB was written")
	}
}

func TestOpenFoldersAreRefused(t *testing.T) {
	dir := t.TempDir() + "/keys"
	kek := keystore.NewKEK()
	if err := open(t, dir, kek).Write("a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "a.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir, kek).Read("a"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a sealed file that all may read: %v", err)
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := keystore.Open(dir, kek); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a folder that the group may enter: %v", err)
	}
}

// TestCrashLeavesTheOldKey: an unfinished file beside the key is not the key.
func TestCrashLeavesTheOldKey(t *testing.T) {
	dir, kek := t.TempDir()+"/keys", keystore.NewKEK()
	if err := open(t, dir, kek).Write("a", []byte("old")); err != nil {
		t.Fatal(err)
	}
	unfinished := filepath.Join(dir, ".a.key.unfinished-XYZ")
	if err := os.WriteFile(unfinished, []byte("half of the new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, dir, kek).Read("a"); err != nil || string(got) != "old" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := os.Stat(unfinished); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unfinished file is still there: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	dir, kek := f.TempDir()+"/keys", keystore.NewKEK()
	s, err := keystore.Open(dir, kek)
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Write("a", []byte("secret")); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "a.key"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:20])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, "a.key"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read("a"); err == nil && string(got) != "secret" {
			t.Fatalf("opened as %q", got)
		}
	})
}
