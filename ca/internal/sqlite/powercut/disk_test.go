package powercut_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ensign-mesh/ensign/ca/internal/sqlite"
	"github.com/ensign-mesh/ensign/ca/internal/sqlite/powercut"
)

const schema = `CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY, filler BLOB) STRICT`

func open(t *testing.T, d *powercut.Disk) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: "/numbers.db", Schema: schema, VFS: d.VFS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// fill inserts numbers until the power goes and returns how many were answered.
func fill(db *sqlite.DB, limit int) int {
	for n := range limit {
		if _, err := db.Writer.Exec("INSERT INTO numbers VALUES (?, randomblob(900))", n); err != nil {
			return n
		}
	}
	return limit
}

func count(t *testing.T, db *sqlite.DB) int {
	t.Helper()
	var n int
	var integrity string
	if err := db.Reader.QueryRow("SELECT count(*) FROM numbers").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := db.Reader.QueryRow("PRAGMA integrity_check").Scan(&integrity); err != nil || integrity != "ok" {
		t.Fatalf("integrity: %s, %v", integrity, err)
	}
	return n
}

// TestAnsweredSurvives cuts the power after every number of operations, with
// a checkpoint of the log every few commits.
func TestAnsweredSurvives(t *testing.T) {
	for ops := 0; ops < 400; ops += 7 {
		t.Run(fmt.Sprint(ops), func(t *testing.T) {
			d := powercut.New(t)
			db := open(t, d)
			if _, err := db.Writer.Exec("PRAGMA wal_autocheckpoint=4"); err != nil {
				t.Fatal(err)
			}
			d.CutAfter(ops)
			answered := fill(db, 1000)
			db.Close()
			d.Restart(rand.New(rand.NewPCG(uint64(ops), 1)))
			if got := count(t, open(t, d)); got < answered || got > answered+1 {
				t.Errorf("%d of %d answered rows are there", got, answered)
			}
		})
	}
}

func TestUnsyncedIsLost(t *testing.T) {
	d := powercut.New(t)
	db := open(t, d)
	if n := fill(db, 10); n != 10 {
		t.Fatal(n)
	}
	if _, err := db.Writer.Exec("PRAGMA synchronous=OFF"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Writer.Exec("INSERT INTO numbers (n) VALUES (10), (11)"); err != nil {
		t.Fatal(err)
	}
	syncs := d.Syncs()
	d.CutAfter(0)
	db.Close()
	d.Restart(nil)
	if got := count(t, open(t, d)); got != 10 {
		t.Errorf("%d rows, want the 10 synced ones", got)
	}
	if syncs == 0 {
		t.Error("nothing was synced")
	}
}
