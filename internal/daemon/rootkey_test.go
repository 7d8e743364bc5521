package daemon

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/keystore/kms"
)

func parseRootKey(t *testing.T, args ...string) (kms.Place, error) {
	t.Helper()
	var f rootKeyFlag
	set := pflag.NewFlagSet("ensignd", pflag.ContinueOnError)
	f.register(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f.validate()
}

func TestRootKeyFlag(t *testing.T) {
	for uri, want := range map[string]string{
		"file:":                        "",
		"awskms:region=eu-central-1":   "",
		"pkcs11:token=a?pin-source=/p": "",
		"pkcs11:token=a?pin-value=1":   "show a secret",
		"root.key":                     "not a URI",
	} {
		_, err := parseRootKey(t, "--root-key", uri)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), "--root-key: ") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", uri, err, want)
		}
	}
}

// TestRootKeysAreSealedWithoutTheFlag: as ever, and the clouds are built in.
func TestRootKeysAreSealedWithoutTheFlag(t *testing.T) {
	sealed, err := keystore.Open(filepath.Join(t.TempDir(), "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	place, err := parseRootKey(t)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := openRootKeys(t.Context(), place, sealed, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ReadKey("root"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	key, err := keys.EnsureKey("root", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := sealed.ReadKey("root"); err != nil || !kept.(*ecdsa.PrivateKey).Equal(key) {
		t.Errorf("it is not in its sealed file: %v", err)
	}
	for _, uri := range []string{"awskms:", "azurekms:vault=v", "cloudkms:projects/p/locations/l/keyRings/r"} {
		place, err := parseRootKey(t, "--root-key", uri)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openRootKeys(t.Context(), place, sealed, slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
