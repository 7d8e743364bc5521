package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// faults are what somebody who can write the file may do to a log of 600. The
// sloppy leave hashes alone, the careful make the entry's own hash fit.
var faults = map[string]struct {
	do []string
	// rehash makes the hashes of these entries fit what they now are.
	rehash []int64
	want   string // in what opening, exporting or the auditor says
}{
	"changed byte":            {do: []string{"UPDATE entries SET data = replace(data, 'shop', 'shoq') WHERE idx = 317"}, want: "entry 317 is not what was hashed"},
	"changed byte, rehashed":  {do: []string{"UPDATE entries SET data = replace(data, 'shop', 'shoq') WHERE idx = 317"}, rehash: []int64{317}, want: "was changed, dropped or moved"},
	"dropped":                 {do: []string{"DELETE FROM entries WHERE idx = 317"}, want: "of size 600: entry 317 is missing"},
	"dropped, closed up":      {do: []string{"DELETE FROM entries WHERE idx = 317", "UPDATE entries SET idx = -idx WHERE idx > 317", "UPDATE entries SET idx = -idx - 1 WHERE idx < 0"}, want: "of size 600: entry 317 is not what was hashed"},
	"dropped, another put in": {do: []string{"DELETE FROM entries WHERE idx = 317", "INSERT INTO entries (idx, data) VALUES (317, '{\"kind\":\"admin\"}')"}, want: "entry 317 is not what was hashed"},
	"dropped, replaced well":  {do: []string{"DELETE FROM entries WHERE idx = 317", "INSERT INTO entries (idx, data) VALUES (317, '{\"kind\":\"admin\"}')"}, rehash: []int64{317}, want: "was changed, dropped or moved"},
	"added":                   {do: []string{"INSERT INTO entries (idx, data) VALUES (600, '{\"kind\":\"admin\"}')"}, want: "does not cover what is behind entry 599"},
	"reordered": {do: []string{
		"UPDATE entries SET idx = -1 WHERE idx = 317", "UPDATE entries SET idx = 317 WHERE idx = 318", "UPDATE entries SET idx = 318 WHERE idx = -1",
	}, want: "entry 317 is not what was hashed"},
	"reordered, rehashed": {do: []string{
		"UPDATE entries SET idx = -1 WHERE idx = 317", "UPDATE entries SET idx = 317 WHERE idx = 318", "UPDATE entries SET idx = 318 WHERE idx = -1",
	}, rehash: []int64{317, 318}, want: "was changed, dropped or moved"},
	"rolled back": {do: []string{
		"DELETE FROM entries WHERE idx >= 500", "DELETE FROM checkpoints WHERE size > 500", fmt.Sprint("DELETE FROM hashes WHERE idx >= ", tlog.StoredHashCount(500)),
	}, want: "rolled back: it has 500 entries"},
}

// TestEveryFaultOfAStoreIsNamed: by opening it, by exporting it, or by the auditor
// of that export; there is no fourth way out.
func TestEveryFaultOfAStoreIsNamed(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "l.db")
			l := open(t, path)
			crowd(t, l, 500)
			crowd(t, l, 100)
			older, _, _ := l.Checkpoint()
			for _, statement := range fault.do {
				l.Exec(t, statement)
			}
			for _, index := range fault.rehash {
				l.Exec(t, "UPDATE hashes SET hash = ? WHERE idx = ?", rehashed(t, l, index), tlog.StoredHashIndex(0, index))
			}
			shut(t, l)
			if _, err := ask(t, path, older); err == nil || !strings.Contains(err.Error(), fault.want) {
				t.Errorf("found %v; want %q", err, fault.want)
			}
		})
	}
}

// ask opens a store, exports it, and has the export audited.
func ask(t *testing.T, path, older string) (audit.Result, error) {
	l, err := ledger.Open(t.Context(), ledger.Config{Path: path, Origin: origin, Keys: keys{}})
	if err != nil {
		return audit.Result{}, err
	}
	defer l.Close()
	var out bytes.Buffer
	if _, err := l.Export(t.Context(), &out, 0); err != nil {
		return audit.Result{}, err
	}
	_, key, _ := l.Checkpoint()
	r, err := audit.VerifyFile(t.Context(), &out, audit.Options{Key: key, Older: []string{older}})
	if problem := (*audit.Problem)(nil); err != nil && !errors.As(err, &problem) {
		t.Errorf("an error without a problem: %v", err)
	}
	return r, err
}

// TestAStoreWithoutFaultPasses is the other half of the test above.
func TestAStoreWithoutFaultPasses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	crowd(t, l, 600)
	older, _, _ := l.Checkpoint()
	shut(t, l)
	if r, err := ask(t, path, older); err != nil || *r.ConsistentWith != 600 {
		t.Errorf("%+v, %v", r, err)
	}
}

// rehashed is the hash of an entry as the file now has it.
func rehashed(t *testing.T, l *ledger.Ledger, index int64) []byte {
	t.Helper()
	hash := tlog.RecordHash(l.Data(t, index))
	return hash[:]
}

// TestARollbackUnseenHereIsSeenElsewhere: who puts both files back to an older
// state fools the store, and not a checkpoint that was kept elsewhere.
func TestARollbackUnseenHereIsSeenElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	crowd(t, l, 600)
	older, _, _ := l.Checkpoint()
	for _, statement := range faults["rolled back"].do {
		l.Exec(t, statement)
	}
	shut(t, l)
	if err := os.Remove(path + ".checkpoint"); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, path, older); err == nil || !strings.Contains(err.Error(), "the log was rolled back: it has 500 entries, the older checkpoint had 600") {
		t.Errorf("%v", err)
	}
}
