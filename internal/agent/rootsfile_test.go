package agent

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/sds"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

func someRoots(t testing.TB, n int) sds.Kept {
	kept := sds.Kept{Operator: strings.Repeat("0f", 32), Sequence: uint64(n)}
	for range n {
		kept.Roots = append(kept.Roots, sdstest.New(t).Root)
	}
	return kept
}

func same(a, b sds.Kept) bool {
	return a.Operator == b.Operator && a.Sequence == b.Sequence && sds.BundleHash(a.Roots) == sds.BundleHash(b.Roots)
}

func TestRootsAreKept(t *testing.T) {
	file := rootsFile(filepath.Join(t.TempDir(), "roots"))
	if got, err := file.load(); got != nil || err != nil {
		t.Errorf("before the first: %v, %v", got, err)
	}
	for n := range 3 {
		want := someRoots(t, n+1)
		if err := file.store(want); err != nil {
			t.Fatal(err)
		}
		if got, err := file.load(); err != nil || !same(*got, want) {
			t.Errorf("%v, %v", got, err)
		}
	}
	if info, err := os.Stat(string(file)); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// A file that is spoilt, or that another user may have written, adds no root.
func TestSpoiltRootsAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roots")
	if err := rootsFile(path).store(someRoots(t, 1)); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	form := func(kept sds.Kept, extra ...[]byte) string {
		form := keptRoots{BundleFile: kept.Operator, Sequence: kept.Sequence, Roots: extra}
		for _, root := range kept.Roots {
			form.Roots = append(form.Roots, root.Raw)
		}
		body, err := json.Marshal(form)
		if err != nil {
			t.Fatal(err)
		}
		return markLine(rootsMark, body) + string(body)
	}
	leaf := sdstest.New(t).TLS(t, sdstest.Leaf(testID, 1)).Leaf.Raw
	unbound := someRoots(t, 1)
	unbound.Operator = ""
	for name, bad := range map[string]struct{ content, why string }{
		"empty": {"", "not whole"}, "cut short": {string(good[:len(good)-3]), "not whole"},
		"another format": {string(bytes.Replace(good, []byte("/1 "), []byte("/2 "), 1)), "not whole"},
		"rubbish":        {markLine(rootsMark, []byte("{")) + "{", "unexpected EOF"},
		"two of them":    {markLine(rootsMark, []byte("{}{}")) + "{}{}", "more than one"},
		"a new field":    {markLine(rootsMark, []byte(`{"x":1}`)) + `{"x":1}`, "unknown field"},
		"no roots":       {form(someRoots(t, 0)), "0 roots"}, "many roots": {form(someRoots(t, 0), make([][]byte, 65)...), "65 roots"},
		"no certificate": {form(someRoots(t, 1), []byte("x")), "x509"}, "a leaf": {form(someRoots(t, 1), leaf), "no CA"},
		"bound to nothing": {form(unbound), "bundle file"}, "too large": {strings.Repeat("x", maxRootsBytes+257), "larger than"},
	} {
		write(t, path, bad.content)
		if got, err := rootsFile(path).load(); got != nil || err == nil || !strings.Contains(err.Error(), bad.why) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v; want an error with the path and %q", name, got, err, bad.why)
		}
	}
	write(t, path, string(good))
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if got, err := rootsFile(path).load(); got != nil || err == nil {
		t.Errorf("readable by others: %v, %v", got, err)
	}
}

func FuzzRootsFile(f *testing.F) {
	kept := someRoots(f, 1)
	body, err := json.Marshal(keptRoots{BundleFile: kept.Operator, Sequence: 7, Roots: [][]byte{kept.Roots[0].Raw}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"roots":[""]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		kept, err := parseRoots(body)
		if err != nil {
			return
		}
		if len(kept.Roots) == 0 || len(kept.Roots) > maxRoots {
			t.Errorf("%d roots", len(kept.Roots))
		}
		for _, root := range kept.Roots {
			if again, err := x509.ParseCertificate(root.Raw); err != nil || !again.IsCA {
				t.Error("no CA was taken")
			}
		}
	})
}
