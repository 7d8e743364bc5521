package ledger

import (
	"context"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// OpenOn opens a ledger on a disk that SQLite knows by the name of its VFS.
func OpenOn(ctx context.Context, c Config, vfs string) (*Ledger, error) {
	c.vfs = vfs
	return Open(ctx, c)
}

// Exec runs a statement on the connection that writes.
func (l *Ledger) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := l.db.Writer.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// TryExec runs a statement that may be refused.
func (l *Ledger) TryExec(t testing.TB, statement string) error {
	_, err := l.db.Writer.ExecContext(t.Context(), statement)
	return err
}

// EdgeSize is how many hashes the writer keeps in memory.
func (l *Ledger) EdgeSize() int { return len(l.head.Load().edge) }

// Plan is how SQLite would answer a query.
func (l *Ledger) Plan(t testing.TB, query string, args ...any) []string {
	t.Helper()
	rows, err := l.db.Reader.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	return steps
}

// Queries are the questions that must not look at every entry, with arguments.
var Queries = map[string][]any{
	bySerial: {"a"}, byCertificate: {"a"}, liveRecords: {1}, tallies: {1},
	findByTime: {1, 1}, findByKind: {"svid", 1, 1}, findByIdentity: {"svid", "a", 1, 1},
	revocations: {}, liveIssuers: {1}, renewals: {"a"}, countSince: {"a", 1},
}

// RestoreSteps is Restore with a call between every two steps.
func RestoreSteps(ctx context.Context, c RestoreConfig, step func(string)) (Restored, error) {
	c.step = step
	return Restore(ctx, c)
}

// Data is what the file holds for an entry, whatever was hashed.
func (l *Ledger) Data(t testing.TB, index int64) []byte {
	t.Helper()
	var data []byte
	if err := l.db.Writer.QueryRowContext(t.Context(), `SELECT data FROM entries WHERE idx = ?`, index).Scan(&data); err != nil {
		t.Fatal(err)
	}
	return data
}

// Tree signs checkpoints of logs that no ledger holds.
type Tree struct{ tree tree }

// NewTree is empty.
func NewTree() *Tree { return &Tree{tree{edge: map[int64]tlog.Hash{}}} }

// Grow adds an entry.
func (t *Tree) Grow(tb testing.TB, data []byte) {
	tb.Helper()
	if _, _, err := t.tree.grow(data); err != nil {
		tb.Fatal(err)
	}
}

// Sign is the checkpoint of the entries so far, signed by a ledger's key.
func (t *Tree) Sign(tb testing.TB, l *Ledger, origin string) string {
	tb.Helper()
	t.tree.trim()
	if err := t.tree.sign(origin, l.signer); err != nil {
		tb.Fatal(err)
	}
	return t.tree.note
}
