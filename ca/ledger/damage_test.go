package ledger_test

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/ca/ledger"
)

// reopen closes a ledger and opens its file again.
func reopen(t *testing.T, l *ledger.Ledger, path string) error {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := ledger.Open(t.Context(), ledger.Config{Path: path, Origin: origin, Keys: keys{}})
	if err == nil {
		again.Close()
	}
	return err
}

// TestDamageIsNotOpened changes the file behind the ledger's back.
func TestDamageIsNotOpened(t *testing.T) {
	for name, c := range map[string]struct {
		do   []string
		want string // what the refusal must say
	}{
		"entry dropped":        {[]string{"DELETE FROM entries WHERE idx = 7"}, "it holds 39 entries"},
		"last entry dropped":   {[]string{"DELETE FROM entries WHERE idx = 39"}, "it holds 39 entries"},
		"entry added":          {[]string{`INSERT INTO entries (idx, data) VALUES (40, '{"kind":"admin"}')`}, "it holds 41 entries"},
		"entry moved":          {[]string{"UPDATE entries SET idx = 1000 WHERE idx = 39"}, "index 1000"},
		"entry changed":        {[]string{"UPDATE entries SET data = replace(data, 'sa/a2', 'sa/xx') WHERE idx = 38"}, "entry 38 is not what was hashed"},
		"hash changed":         {[]string{"UPDATE hashes SET hash = zeroblob(32) WHERE idx = 62"}, "another root"},
		"hash cut":             {[]string{"UPDATE hashes SET hash = x'00' WHERE idx = 62"}, "hash 62"},
		"hash dropped":         {[]string{"DELETE FROM hashes WHERE idx = 62"}, "hash 62"},
		"hash added":           {[]string{"INSERT INTO hashes VALUES (78, zeroblob(32))"}, "79 hashes"},
		"checkpoint dropped":   {[]string{"DELETE FROM checkpoints WHERE size = 40"}, "newest checkpoint is of size 39"},
		"all checkpoints gone": {[]string{"DELETE FROM checkpoints"}, "newest checkpoint is of size 0"},
		"checkpoint relabeled": {[]string{"UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 39) WHERE size = 40"}, "says 39"},
		"signature changed":    {[]string{"UPDATE checkpoints SET note = replace(note, 'ledger ', 'ledger A') WHERE size = 40"}, "not signed"},
		"root changed":         {[]string{"UPDATE checkpoints SET note = replace(note, char(10)||'40'||char(10), char(10)||'41'||char(10)) WHERE size = 40"}, "not signed"},
		"checkpoint garbage":   {[]string{"UPDATE checkpoints SET note = 'x' WHERE size = 40"}, "not signed"},
		"cut back to 20": {[]string{
			"DELETE FROM entries WHERE idx >= 20", "DELETE FROM checkpoints WHERE size > 20", "DELETE FROM hashes WHERE idx >= 38",
		}, "rolled back: it has 20 entries"},
		"emptied": {[]string{"DELETE FROM entries", "DELETE FROM checkpoints", "DELETE FROM hashes"}, "rolled back: it has 0 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "l.db")
			l := open(t, path)
			for n := range 40 {
				appendAll(t, l, svid(n))
			}
			for _, statement := range c.do {
				l.Exec(t, statement)
			}
			err := reopen(t, l, path)
			if !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("opened with: %v; want %q", err, c.want)
			}
		})
	}
}

// TestASerialColumnCannotLie: what is asked is computed from what was hashed.
func TestASerialColumnCannotLie(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	appendAll(t, l, svid(0))
	for _, column := range []string{"serial", "spiffe_id", "not_after", "kind", "time"} {
		if err := l.TryExec(t, "UPDATE entries SET "+column+" = NULL"); err == nil {
			t.Errorf("column %s was changed apart from the entry", column)
		}
	}
}

// TestAnOlderCopyIsNotOpened puts a backup of the file in its place.
func TestAnOlderCopyIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "l.db")
	l := open(t, path)
	appendAll(t, l, svid(0), svid(1))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l = open(t, path)
	appendAll(t, l, svid(2))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = ledger.Open(t.Context(), ledger.Config{Path: path, Origin: origin, Keys: keys{}})
	if !errors.Is(err, ledger.ErrRolledBack) || !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("an older copy: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = ledger.Open(t.Context(), ledger.Config{Path: path, Origin: origin, Keys: keys{}})
	if !errors.Is(err, ledger.ErrRolledBack) {
		t.Errorf("no file at all: %v", err)
	}
}

// TestAnotherHistoryIsNotOpened has the mark of another log of the same key.
func TestAnotherHistoryIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.db"), filepath.Join(dir, "two.db")
	for _, path := range []string{one, two} {
		l := open(t, path)
		appendAll(t, l, svid(0), svid(1), svid(2))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(two+".checkpoint", one+".checkpoint"); err != nil {
		t.Fatal(err)
	}
	_, err := ledger.Open(t.Context(), ledger.Config{Path: one, Origin: origin, Keys: keys{}})
	if !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), "first 3 entries") {
		t.Errorf("another history: %v", err)
	}
	if err := os.WriteFile(one+".checkpoint", []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Open(t.Context(), ledger.Config{Path: one, Origin: origin, Keys: keys{}}); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("a mark of garbage: %v", err)
	}
}

func TestAnotherKeyOrNameIsNotOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	appendAll(t, l, svid(0))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	other := keys{seed: [ed25519.SeedSize]byte{1}}
	for name, c := range map[string]ledger.Config{
		"key":  {Path: path, Origin: origin, Keys: other},
		"name": {Path: path, Origin: "ensign/other.example/ledger", Keys: keys{}},
	} {
		if _, err := ledger.Open(t.Context(), c); !errors.Is(err, ledger.ErrDamaged) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	for _, c := range []ledger.Config{{Origin: origin, Keys: keys{}}, {Path: path, Keys: keys{}}, {Path: path, Origin: origin}, {Path: path, Origin: "two words", Keys: keys{}}} {
		if l, err := ledger.Open(t.Context(), c); err == nil {
			l.Close()
			t.Errorf("opened with %+v", c)
		}
	}
}

// TestTwoWritersDoNotFork opens one file twice, as a second process would: each
// entry has one index, whoever wrote it, and nothing is lost.
func TestTwoWritersDoNotFork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	one := open(t, path)
	appendAll(t, one, svid(0))
	two := open(t, path)
	appendAll(t, one, svid(1))
	if _, err := two.Append(t.Context(), svid(2)); err == nil {
		t.Error("the second writer went on from an old state")
	}
	if _, err := two.Append(t.Context(), svid(3)); err != nil {
		t.Errorf("the second writer did not read on: %v", err)
	}
	if summary, err := verify(t, two); err != nil || summary.Entries != 3 {
		t.Errorf("%+v, %v", summary, err)
	}
}

// TestAChangedEntryIsNotRead changes an old entry, which opening does not look
// at: whoever asks for it is told, by its index.
func TestAChangedEntryIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	victim := svid(0)
	appendAll(t, l, svid(1), victim, svid(2))
	l.Exec(t, "UPDATE entries SET data = replace(data, 'sa/a0', 'sa/xx') WHERE idx = 1")
	wants := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), "entry 1 ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	var last error
	for _, err := range l.Read(t.Context(), 0, 0) {
		last = err
	}
	wants("Read", last)
	_, err := l.Lookup(t.Context(), victim.Serial)
	wants("Lookup", err)
	_, err = l.Live(t.Context(), victim.Time)
	wants("Live", err)
	_, err = l.Find(t.Context(), ledger.Query{Limit: 5})
	wants("Find", err)
	for r, err := range l.Read(t.Context(), 2, 0) {
		if err != nil || r.Index != 2 {
			t.Errorf("the entry behind it: %v", err)
		}
	}
}
