package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"maps"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tree is the state of the log at one size: enough to append without reading.
type tree struct {
	size int64
	// edge holds the hashes on the right edge, by stored-hash index: all that
	// an append or a root needs.
	edge map[int64]tlog.Hash
	note string
}

// ReadHashes implements tlog.HashReader on the edge.
func (t tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hash, ok := t.edge[index]
		if !ok {
			return nil, fmt.Errorf("hash %d is not on the edge of a tree of %d", index, t.size)
		}
		hashes[i] = hash
	}
	return hashes, nil
}

// grow adds one entry and returns the new hashes, the first of which is stored at index.
func (t *tree) grow(data []byte) (index int64, hashes []tlog.Hash, err error) {
	hashes, err = tlog.StoredHashesForRecordHash(t.size, tlog.RecordHash(data), t)
	if err != nil {
		return 0, nil, err
	}
	index = tlog.StoredHashIndex(0, t.size)
	for i, hash := range hashes {
		t.edge[index+int64(i)] = hash
	}
	t.size++
	return index, hashes, nil
}

// copy can grow without touching the original.
func (t tree) copy() tree {
	t.edge = maps.Clone(t.edge)
	return t
}

// trim forgets what is no longer on the edge.
func (t *tree) trim() {
	edge := map[int64]tlog.Hash{}
	for _, index := range torchwood.RightEdge(t.size) {
		edge[index] = t.edge[index]
	}
	t.edge = edge
}

// sign makes the checkpoint of the tree's size.
func (t *tree) sign(origin string, s *signer) error {
	root, err := tlog.TreeHash(t.size, t)
	if err != nil {
		return fmt.Errorf("computing the root: %w", err)
	}
	text := torchwood.Checkpoint{Origin: origin, Tree: tlog.Tree{N: t.size, Hash: root}}.String()
	signed, err := note.Sign(&note.Note{Text: text}, s)
	if err != nil {
		return fmt.Errorf("signing the checkpoint: %w", err)
	}
	t.note = string(signed)
	return nil
}

// load reads the newest state, and refuses one that does not hold together.
func load(ctx context.Context, db *sql.DB, origin string, verifier note.Verifier) (tree, error) {
	t := tree{edge: map[int64]tlog.Hash{}}
	err := db.QueryRowContext(ctx, `SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1`).Scan(&t.size, &t.note)
	if err != nil && err != sql.ErrNoRows {
		return tree{}, fmt.Errorf("reading the newest checkpoint: %w", err)
	}
	if err := checkCount(ctx, db, t.size); err != nil || t.size == 0 {
		return t, err
	}
	for _, index := range torchwood.RightEdge(t.size) {
		var hash []byte
		if err := db.QueryRowContext(ctx, `SELECT hash FROM hashes WHERE idx = ?`, index).Scan(&hash); err != nil || len(hash) != tlog.HashSize {
			return tree{}, damagef("hash %d is missing (%v)", index, err)
		}
		t.edge[index] = tlog.Hash(hash)
	}
	return t, t.check(origin, verifier)
}

func checkCount(ctx context.Context, db *sql.DB, size int64) error {
	var count, last int64
	if err := db.QueryRowContext(ctx, `SELECT count(*), coalesce(max(idx) + 1, 0) FROM entries`).Scan(&count, &last); err != nil {
		return fmt.Errorf("counting entries: %w", err)
	}
	if count != size || last != size {
		return damagef("it holds %d entries, the last with index %d, and its newest checkpoint is of size %d", count, last-1, size)
	}
	return nil
}

// check holds the stored hashes against the signed checkpoint.
func (t tree) check(origin string, verifier note.Verifier) error {
	signed, err := note.Open([]byte(t.note), note.VerifierList(verifier))
	if err != nil {
		return damagef("its checkpoint of size %d is not signed by this ledger's key: %v", t.size, err)
	}
	checkpoint, err := torchwood.ParseCheckpoint(signed.Text)
	if err != nil {
		return damagef("its checkpoint of size %d does not parse: %v", t.size, err)
	}
	root, err := tlog.TreeHash(t.size, t)
	if err != nil {
		return fmt.Errorf("computing the root: %w", err)
	}
	switch {
	case checkpoint.Origin != origin:
		return damagef("it is the log %q, not %q", checkpoint.Origin, origin)
	case checkpoint.N != t.size:
		return damagef("the checkpoint stored for size %d says %d", t.size, checkpoint.N)
	case checkpoint.Hash != root:
		return damagef("its hashes lead to another root than its checkpoint of size %d was signed for", t.size)
	}
	return nil
}
