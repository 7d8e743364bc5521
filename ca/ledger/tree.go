package ledger

import (
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
	// root is what note is signed for; both are unset while the log is empty.
	root tlog.Hash
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
	t.root, t.note = root, string(signed)
	return nil
}
