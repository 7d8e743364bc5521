package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/ca/internal/sqlite"
)

const schema = `CREATE TABLE IF NOT EXISTS words (word TEXT PRIMARY KEY) STRICT`

func open(t *testing.T, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestOpenSetsDurability(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "a.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "trusted_schema": "0"} {
		for _, pool := range []struct {
			name string
			row  interface{ Scan(...any) error }
		}{
			{"writer", db.Writer.QueryRow("PRAGMA " + pragma)},
			{"reader", db.Reader.QueryRow("PRAGMA " + pragma)},
		} {
			var got string
			if err := pool.row.Scan(&got); err != nil || got != want {
				t.Errorf("%s %s = %q, %v; want %q", pool.name, pragma, got, err, want)
			}
		}
	}
}

func TestFilesAreClosedToOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "with space?and#odd%names.db")
	for range 2 {
		db := open(t, path)
		if _, err := db.Writer.Exec("INSERT OR IGNORE INTO words VALUES ('a')"); err != nil {
			t.Fatal(err)
		}
		checkModes(t, dir, 3)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	checkModes(t, dir, 3)
}

func checkModes(t *testing.T, dir string, want int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != want {
		t.Fatalf("files %v, %v; want %d", files, err, want)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", f.Name(), mode)
		}
	}
}

func TestReaderRefusesToWrite(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "a.db"))
	if _, err := db.Reader.Exec("INSERT INTO words VALUES ('a')"); err == nil {
		t.Error("a reader wrote")
	}
}

func TestOpenErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 400)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{garbage, filepath.Join(dir, "missing", "a.db")} {
		_, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Schema: schema})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("opening %s: %v; want an error that names it", path, err)
		}
	}
}
