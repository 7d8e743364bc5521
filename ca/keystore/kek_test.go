package keystore_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/ca/keystore"
)

func TestParseKEK(t *testing.T) {
	kek := keystore.NewKEK()
	if kek.Encode() == keystore.NewKEK().Encode() {
		t.Fatal("two new keys are equal")
	}
	if got, err := keystore.ParseKEK("\n " + kek.Encode() + "\n"); err != nil || got.Encode() != kek.Encode() {
		t.Fatalf("read back: %v", err)
	}
	for text, want := range map[string]error{
		"":                              keystore.ErrNoKEK,
		" \n":                           keystore.ErrNoKEK,
		"secret":                        keystore.ErrBadKEK,
		kek.Encode()[:40]:               keystore.ErrBadKEK,
		kek.Encode() + kek.Encode():     keystore.ErrBadKEK,
		encode(bytes.Repeat(a, 31)):     keystore.ErrBadKEK,
		encode(bytes.Repeat(a, 33)):     keystore.ErrBadKEK,
		encode(make([]byte, 32)):        keystore.ErrBadKEK,
		strings.Repeat("0123456789", 5): keystore.ErrBadKEK,
	} {
		_, err := keystore.ParseKEK(text)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
		if text = strings.TrimSpace(text); text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the error quotes the text %q", text)
		}
	}
}

var a = []byte{'a'}

func encode(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func TestKEKIsNeverPrinted(t *testing.T) {
	kek := keystore.NewKEK()
	var out bytes.Buffer
	fmt.Fprintf(&out, "%v %+v %#v %s %x %d", kek, kek, kek, kek, kek, kek)
	fmt.Fprintf(&out, "%v %+v", &kek, struct{ K keystore.KEK }{kek})
	fmt.Fprintf(&out, "%v %+v %d", struct{ k keystore.KEK }{kek}, open(t, t.TempDir()+"/keys", kek), []any{kek})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "kek", kek, "p", &kek)
	raw, err := base64.StdEncoding.DecodeString(kek.Encode())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{kek.Encode(), string(raw), fmt.Sprintf("%x", raw), fmt.Sprint(raw)[1:20]} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("printed: %s", out.String())
		}
	}
}

// place writes a key and returns its path.
func place(t *testing.T, dir, name string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(keystore.NewKEK().Encode()+"\n"), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadKEK(t *testing.T) {
	data, etc := t.TempDir(), t.TempDir()
	good := place(t, etc, "kek", 0o600)
	link := func(target, name string) string {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	inside := place(t, data, "kek", 0o600)
	short := filepath.Join(etc, "short")
	if err := os.WriteFile(short, []byte("c2hvcnQ="), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file, data string
		want       error
		fix        string
	}{
		"good":                       {good, data, nil, ""},
		"read only":                  {place(t, etc, "ro", 0o400), data, nil, ""},
		"data folder not there yet":  {good, filepath.Join(data, "a", "b"), nil, ""},
		"through a link":             {link(good, filepath.Join(etc, "alias")), data, nil, ""},
		"folder of a similar name":   {good, etc[:len(etc)-1], nil, ""},
		"none":                       {"", data, keystore.ErrNoKEK, "ensign kek new"},
		"missing":                    {filepath.Join(etc, "no"), data, keystore.ErrNoKEK, "ensign kek new"},
		"inside":                     {inside, data, keystore.ErrKEKPlace, "move it out"},
		"deep inside":                {inside, filepath.Dir(data), keystore.ErrKEKPlace, "move it out"},
		"link outside, file inside":  {link(inside, filepath.Join(etc, "sly")), data, keystore.ErrKEKPlace, "move it out"},
		"link inside, file outside":  {link(good, filepath.Join(data, "sly")), data, keystore.ErrKEKPlace, "move it out"},
		"data folder is a link":      {inside, link(data, filepath.Join(etc, "data")), keystore.ErrKEKPlace, "move it out"},
		"inside, spelled with dots":  {data + "/../" + filepath.Base(data) + "/kek", data, keystore.ErrKEKPlace, "move it out"},
		"readable by the group":      {place(t, etc, "g", 0o640), data, keystore.ErrKEKPlace, "chmod 600"},
		"readable by all":            {place(t, etc, "o", 0o604), data, keystore.ErrKEKPlace, "chmod 600"},
		"a folder":                   {etc, data, keystore.ErrKEKPlace, ""},
		"too short":                  {short, data, keystore.ErrBadKEK, "ensign kek new"},
		"data folder below the link": {inside, filepath.Join(etc, "data") + "/.", keystore.ErrKEKPlace, ""},
	} {
		t.Run(name, func(t *testing.T) {
			kek, err := keystore.LoadKEK(c.file, c.data)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil && (!strings.Contains(err.Error(), c.fix) || kek != keystore.KEK{}) {
				t.Errorf("error %q does not say %q", err, c.fix)
			}
		})
	}
}
