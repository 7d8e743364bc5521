package kms_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/ca/keystore/kms"
)

const ring = "cloudkms:projects/p-1/locations/global/keyRings/mesh"

func TestParse(t *testing.T) {
	for _, text := range []string{
		"", "file:",
		"pkcs11:token=ensign?pin-source=/etc/ensign/pin",
		"pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;serial=1a2b?pin-source=/etc/ensign/pin",
		"pkcs11:slot-id=5;max-sessions=10",
		"awskms:", "awskms:region=eu-central-1;profile=ensign", "awskms:credentials-file=/etc/ensign/aws",
		"azurekms:vault=mesh", "azurekms:vault=mesh;environment=usgov?hsm=true",
		ring, ring + "?credentials-file=/etc/ensign/gcp.json&hsm=true",
	} {
		p, err := kms.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if p.IsFile() != (text == "" || text == "file:") || !p.IsFile() && p.String() != text {
			t.Errorf("%q became %s", text, p)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"ensign":                                    "not a URI",
		"pkcs11:%zz":                                "not a URI",
		"/etc/ensign/root.key":                      "not a URI",
		"file:/etc/ensign/root.key":                 "is not known",
		"yubikey:slot-id=9c":                        "is not known",
		"pkcs11:":                                   "has 0 of them",
		"pkcs11:token=a;slot-id=1":                  "has 2 of them",
		"pkcs11:token=a?pin-value=1234":             "show a secret",
		"pkcs11:token=a;pin-value=1234":             "show a secret",
		"pkcs11:token=a?pin-prompt=PIN":             "show a secret",
		"pkcs11:token=a?pin-source=pin":             "absolute path",
		"pkcs11:token=a;module-path=softhsm.so":     "absolute path",
		"pkcs11:token=a;modul-path=/x.so":           "no \"modul-path\"",
		"pkcs11:token=a;object=root":                "leave it out",
		"pkcs11:token=a;id=01":                      "leave it out",
		"awskms:key-id=abc":                         "leave it out",
		"azurekms:":                                 "vault=NAME",
		"azurekms:vault=v;client-secret=s":          "show a secret",
		"cloudkms:":                                 "keyRings/RING",
		ring + "/cryptoKeys/root":                   "keyRings/RING",
		ring + "?pin-value=1":                       "show a secret",
		"pkcs11:token=" + strings.Repeat("a", 2048): "bytes",
	} {
		_, err := kms.Parse(text)
		if !errors.Is(err, kms.ErrPlace) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: the error shows the PIN: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "pkcs11:token=a?pin-source=/p", "awskms:region=x", "azurekms:vault=v?hsm=true", ring, "pkcs11:token=a;pin-value=1", "a:b?c;d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := kms.Parse(text)
		if err != nil {
			if !errors.Is(err, kms.ErrPlace) || len(err.Error()) > 600 {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if strings.Contains(p.String(), "pin-value") && !p.IsFile() {
			t.Errorf("%q holds a PIN", text)
		}
		if again, err := kms.Parse(p.String()); err != nil || again.String() != p.String() {
			t.Errorf("%q is read back as %s, %v", text, again, err)
		}
	})
}
