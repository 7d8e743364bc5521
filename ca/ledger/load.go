package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// load reads the newest state, and refuses one that does not hold together.
func load(ctx context.Context, db *sql.DB, verifier note.Verifier) (tree, error) {
	t := tree{edge: map[int64]tlog.Hash{}}
	err := db.QueryRowContext(ctx, `SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1`).Scan(&t.size, &t.note)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return tree{}, fmt.Errorf("reading the newest checkpoint: %w", err)
	}
	if err := checkCount(ctx, db, t.size); err != nil || t.size == 0 {
		return t, err
	}
	right := torchwood.RightEdge(t.size)
	hashes, err := stored{ctx, db}.ReadHashes(right)
	if err != nil {
		return tree{}, err
	}
	for i, index := range right {
		t.edge[index] = hashes[i]
	}
	if t.root, err = t.check(verifier); err != nil {
		return tree{}, err
	}
	// The newest entries are looked at now, all others when they are read.
	_, err = readPage(ctx, db, uint64(max(0, t.size-page)), page)
	return t, err
}

// checkCount holds the numbers of entries and hashes against the tree's size.
func checkCount(ctx context.Context, db *sql.DB, size int64) error {
	var count, next, hashes int64
	err := db.QueryRowContext(ctx, `SELECT count(*), (SELECT coalesce(max(idx) + 1, 0) FROM entries), (SELECT coalesce(max(idx) + 1, 0) FROM hashes) FROM entries`).Scan(&count, &next, &hashes)
	if err != nil {
		return fmt.Errorf("counting entries: %w", err)
	}
	switch {
	case count != size || next != size:
		return damagef("it holds %d entries, the last with index %d, and its newest checkpoint is of size %d: %s",
			count, next-1, size, firstFault(ctx, db, size))
	case hashes != tlog.StoredHashCount(size):
		return damagef("it holds %d hashes, and a log of %d entries has %d", hashes, size, tlog.StoredHashCount(size))
	}
	return nil
}

// firstFault names the first entry that is wrong in a store that is known to be. It
// may read all of it.
func firstFault(ctx context.Context, db *sql.DB, size int64) string {
	for next := int64(0); next < size; {
		records, err := unchecked(ctx, db, readRun, next, min(page, size-next))
		if err != nil {
			return err.Error()
		}
		for _, r := range records {
			if r.Index != uint64(next) {
				break
			}
			if (stored{ctx, db}).checkRun([]Record{r}) != nil {
				return fmt.Sprintf("entry %d is not what was hashed", next)
			}
			next++
		}
		if len(records) == 0 || records[len(records)-1].Index >= uint64(next) {
			return fmt.Sprintf("entry %d is missing", next)
		}
	}
	return fmt.Sprintf("the checkpoint does not cover what is behind entry %d", size-1)
}

// check holds the stored hashes against the signed checkpoint, and returns its root.
func (t tree) check(verifier note.Verifier) (tlog.Hash, error) {
	checkpoint, err := openNote(t.note, verifier)
	if err != nil {
		return tlog.Hash{}, damagef("its checkpoint of size %d: %v", t.size, err)
	}
	root, err := tlog.TreeHash(t.size, t)
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("computing the root: %w", err)
	}
	switch {
	case checkpoint.N != t.size:
		return tlog.Hash{}, damagef("the checkpoint stored for size %d says %d", t.size, checkpoint.N)
	case checkpoint.Hash != root:
		return tlog.Hash{}, damagef("its hashes lead to another root than its checkpoint of size %d was signed for", t.size)
	}
	return root, nil
}

// openNote reads a checkpoint of this log: signed by its key, under its name.
func openNote(text string, verifier note.Verifier) (torchwood.Checkpoint, error) {
	signed, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		return torchwood.Checkpoint{}, fmt.Errorf("not signed by the key of %q in the key store: %w", verifier.Name(), err)
	}
	checkpoint, err := torchwood.ParseCheckpoint(signed.Text)
	if err != nil {
		return torchwood.Checkpoint{}, err
	}
	if checkpoint.Origin != verifier.Name() {
		return torchwood.Checkpoint{}, fmt.Errorf("of the log %q, not %q", checkpoint.Origin, verifier.Name())
	}
	return checkpoint, nil
}
