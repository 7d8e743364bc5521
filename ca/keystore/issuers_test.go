package keystore_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/keystore"
)

func newIssuer(t *testing.T, serial int64) ca.StoredIssuer {
	t.Helper()
	key, err := newP256()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return ca.StoredIssuer{Key: key, Chain: []*x509.Certificate{cert}}
}

func same(a, b ca.StoredIssuer) bool {
	key, ok := a.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b.Key.Public()) && a.Introduced == b.Introduced && len(a.Chain) == len(b.Chain) && a.Chain[0].Equal(b.Chain[0])
}

func TestIssuersAreKeptSealed(t *testing.T) {
	dir, kek := filepath.Join(t.TempDir(), "keys"), keystore.NewKEK()
	s := open(t, dir, kek)
	a, b := newIssuer(t, 10), newIssuer(t, 11)
	for _, introduced := range []bool{false, true} {
		a.Introduced = introduced
		if err := errors.Join(s.SaveIssuer(a), s.SaveIssuer(b), s.WriteKey("token", a.Key)); err != nil {
			t.Fatal(err)
		}
		got, err := open(t, dir, kek).LoadIssuers()
		if err != nil || len(got) != 2 || !same(got[0], a) || !same(got[1], b) {
			t.Fatalf("read %d issuers back, %v", len(got), err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "issuer-a.key"))
	if err != nil || bytes.Contains(raw, []byte("chain")) {
		t.Errorf("the issuer is on disk in clear, or %v", err)
	}
	for range 2 {
		if err := s.DeleteIssuer("a"); err != nil {
			t.Error(err)
		}
	}
	if got, err := s.LoadIssuers(); err != nil || len(got) != 1 || !same(got[0], b) {
		t.Errorf("%d issuers are left, %v", len(got), err)
	}
	if err := s.DeleteIssuer("../a"); err == nil {
		t.Error("a path was taken for a serial")
	}
}

// TestAnIssuerWithoutAKeyIsKept: the key is a remote's, and nobody else's issuer is without.
func TestAnIssuerWithoutAKeyIsKept(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keys"), keystore.NewKEK())
	i := newIssuer(t, 12)
	i.Key, i.Remote, i.Introduced = nil, true, true
	if err := s.SaveIssuer(i); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoadIssuers(); err != nil || len(got) != 1 || got[0].Key != nil || !got[0].Remote || !got[0].Introduced || !got[0].Chain[0].Equal(i.Chain[0]) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := s.Write("issuer-c", bytes.ReplaceAll(must(s.Read("issuer-c")), []byte(`"remote":true`), []byte(`"remote":false`))); err != nil {
		t.Fatal(err)
	}
	if got, err := s.LoadIssuers(); len(got) != 0 || !errors.Is(err, keystore.ErrDamaged) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestABadIssuerIsNamedAndHidesNoOther: damage to one file costs that issuer only.
func TestABadIssuerIsNamedAndHidesNoOther(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s := open(t, dir, keystore.NewKEK())
	good, bad := newIssuer(t, 10), newIssuer(t, 11)
	mixed := ca.StoredIssuer{Key: good.Key, Chain: bad.Chain}
	file := filepath.Join(dir, "issuer-b.key")
	for name, spoil := range map[string]func() error{
		"cut short":       func() error { return os.Truncate(file, 40) },
		"renamed":         func() error { return os.Rename(filepath.Join(dir, "issuer-a.key"), file) },
		"another's key":   func() error { return s.SaveIssuer(mixed) },
		"another serial":  func() error { return s.Write("issuer-b", must(s.Read("issuer-a"))) },
		"not JSON":        func() error { return s.Write("issuer-b", []byte("x")) },
		"nothing in it":   func() error { return s.Write("issuer-b", []byte("{}")) },
		"no certificate":  func() error { return s.Write("issuer-b", []byte(`{"key":"","chain":["AAAA"]}`)) },
		"sealed by other": func() error { return open(t, dir, keystore.NewKEK()).SaveIssuer(bad) },
	} {
		if err := errors.Join(s.SaveIssuer(good), s.SaveIssuer(bad)); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if name == "renamed" {
			if err := s.SaveIssuer(good); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.LoadIssuers()
		if len(got) != 1 || !same(got[0], good) {
			t.Errorf("%s: %d issuers were read", name, len(got))
		}
		if err == nil || !strings.Contains(err.Error(), "issuer-b") && !strings.Contains(err.Error(), "issuer b") || !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrWrongKEK) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
