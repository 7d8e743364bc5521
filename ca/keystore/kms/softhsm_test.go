//go:build cgo

package kms_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/pkcs11"

	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/keystore/kms"
	"github.com/ensign-mesh/ensign/test/lab/softhsm"
)

func sealed(t *testing.T) *keystore.Store {
	t.Helper()
	s, err := keystore.Open(filepath.Join(t.TempDir(), "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open is a store over sealed files, closed with the test.
func open(t *testing.T, uri string, keys kms.Keys, references kms.References) *kms.Store {
	t.Helper()
	place, err := kms.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	s, err := kms.Open(t.Context(), kms.Config{Place: place, Keys: keys, References: references})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// signs is nil if a key signs as its public half says.
func signs(key crypto.Signer) error {
	sum := sha256.Sum256([]byte("issuer"))
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return err
	}
	if public, ok := key.Public().(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(public, sum[:], signature) {
		return errors.New("the signature is not the key's")
	}
	return nil
}

func ensure(t *testing.T, s *kms.Store, name string) crypto.Signer {
	t.Helper()
	key, err := s.EnsureKey(name, func() (crypto.Signer, error) { return nil, errors.New("a key was asked for here") })
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func equal(a, b crypto.Signer) bool { return a.Public().(*ecdsa.PublicKey).Equal(b.Public()) }

// TestKeysAreMadeInTheModule: once, found again by the next process, and nothing but a
// reference is on disk.
func TestKeysAreMadeInTheModule(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	s := open(t, hsm.URI(hsm.PINFile), files, files)
	if _, err := s.ReadKey("root"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("before it is made: %v", err)
	}
	key := ensure(t, s, "root")
	if err := signs(key); err != nil {
		t.Fatal(err)
	}
	if other := ensure(t, s, "root-ensign-ab12"); equal(key, other) {
		t.Error("two roots have one key")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, hsm.URI(hsm.PINFile), files, files)
	for _, get := range []func() (crypto.Signer, error){
		func() (crypto.Signer, error) { return again.ReadKey("root") },
		func() (crypto.Signer, error) { return again.EnsureKey("root", nil) },
	} {
		if got, err := get(); err != nil || !equal(got, key) || signs(got) != nil {
			t.Errorf("the next process has another key: %v", err)
		}
	}
	if _, err := files.ReadKey("root"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a private key is on disk: %v", err)
	}
	if text, err := files.Read("kms-root"); err != nil || strings.Contains(string(text), "1234") {
		t.Errorf("the reference is %s, %v", text, err)
	}
}

// TestSealedKeysStayWhereTheyAre: and the next one is made in the module.
func TestSealedKeysStayWhereTheyAre(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	old := ensureSealed(t, open(t, "", files, files), "root")
	s := open(t, hsm.URI(hsm.PINFile), files, files)
	if got := ensure(t, s, "root"); !equal(got, old) || signs(got) != nil {
		t.Error("the root's key changed with --root-key")
	}
	next := ensure(t, s, "root-next")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// Without --root-key both are found, too.
	if got, err := open(t, "", files, files).ReadKey("root-next"); err != nil || !equal(got, next) || signs(got) != nil {
		t.Errorf("a key in the module is lost without --root-key: %v", err)
	}
}

func ensureSealed(t *testing.T, s *kms.Store, name string) crypto.Signer {
	t.Helper()
	key, err := s.EnsureKey(name, newP256)
	if err != nil || signs(key) != nil {
		t.Fatal(err)
	}
	return key
}

// failing is a References that refuses the writes after the first few.
type failing struct {
	*keystore.Store
	left int
}

func (f *failing) Write(name string, secret []byte) error {
	if f.left--; f.left < 0 {
		return errors.New("crash")
	}
	return f.Store.Write(name, secret)
}

// TestACrashLeavesOneKey: the key that was made and not noted is found, not made again.
func TestACrashLeavesOneKey(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	for writes := range 2 {
		crashing := open(t, hsm.URI(hsm.PINFile), files, &failing{files, writes})
		if _, err := crashing.EnsureKey("root", nil); err == nil {
			t.Fatal("no crash")
		}
		if _, err := crashing.ReadKey("root"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after a crash: %v", err)
		}
		if err := crashing.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, hsm.URI(hsm.PINFile), files, files)
	if err := signs(ensure(t, s, "root")); err != nil {
		t.Error(err)
	}
	if n := hsm.Keys(t); n != 1 {
		t.Errorf("%d keys are in the module", n)
	}
}

func TestTwoCallersMakeOneKey(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	s := open(t, hsm.URI(hsm.PINFile), files, files)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if key, err := s.EnsureKey("root", nil); err != nil || signs(key) != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := hsm.Keys(t); n != 1 {
		t.Errorf("%d keys are in the module", n)
	}
}

// TestAModuleThatComesBack: a key is read while its module is away, and signs again
// when it is back, without a restart.
func TestAModuleThatComesBack(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	first := open(t, hsm.URI(hsm.PINFile), files, files)
	live := ensure(t, first, "root")
	away := hsm.Objects() + ".away"
	if err := errors.Join(signs(live), first.Close(), os.Rename(hsm.Objects(), away), os.Mkdir(hsm.Objects(), 0o700)); err != nil {
		t.Fatal(err)
	}
	read, err := open(t, hsm.URI(hsm.PINFile), files, files).ReadKey("root")
	if err != nil {
		t.Fatalf("reading asks the module: %v", err)
	}
	for name, key := range map[string]crypto.Signer{"read while it is away": read, "from before": live} {
		if err := signs(key); !errors.Is(err, kms.ErrUnavailable) || errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := errors.Join(os.Remove(hsm.Objects()), os.Rename(away, hsm.Objects())); err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"read while it was away": read, "from before": live} {
		if err := signs(key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnotherKeyInItsPlaceIsSeen: of the same label and number in the same token.
func TestAnotherKeyInItsPlaceIsSeen(t *testing.T) {
	hsm, files := softhsm.New(t), sealed(t)
	key := ensure(t, open(t, hsm.URI(hsm.PINFile), files, files), "root")
	thief, err := pkcs11.New(t.Context(), apiv1.Options{URI: hsm.URI(hsm.PINFile)})
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	_, reference, _ := strings.Cut(string(read(t, files, "kms-root")), `"key":"`)
	name, _, _ := strings.Cut(reference, `"`)
	if err := thief.DeleteKey(name); err != nil {
		t.Fatal(err)
	}
	if _, err := thief.CreateKey(&apiv1.CreateKeyRequest{Name: name}); err != nil {
		t.Fatal(err)
	}
	if err := signs(key); !errors.Is(err, kms.ErrOtherKey) {
		t.Errorf("it signs with another key, or %v", err)
	}
}

func read(t *testing.T, files *keystore.Store, name string) []byte {
	t.Helper()
	text, err := files.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
