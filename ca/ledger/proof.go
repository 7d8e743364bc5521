package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"
)

// Proof shows that the log of size, for which a checkpoint was signed, grew from
// the log of from: hashes of 32 bytes for tlog.CheckTree (RFC 6962 section 2.1.2),
// none if from is 0 or size. It is checked against the signed root before it is
// given away, since a damaged store must not look like a fork. Errors wrap
// [ErrNotFound] if the log never had one of the sizes, [ErrDamaged] if its hashes
// do not lead to its checkpoint.
func (l *Ledger) Proof(ctx context.Context, from, size uint64) ([][]byte, error) {
	if size > uint64(l.head.Load().size) || from > size {
		return nil, fmt.Errorf("proving that %d entries are the first of %d: %w", from, size, ErrNotFound)
	}
	if from == 0 || from == size {
		return nil, nil
	}
	root, err := l.rootAt(ctx, int64(size))
	if err != nil {
		return nil, err
	}
	hashes := stored{ctx, l.db.Reader}
	old, err := tlog.TreeHash(int64(from), hashes)
	if err != nil {
		return nil, fmt.Errorf("computing the root of %d entries: %w", from, err)
	}
	proof, err := tlog.ProveTree(int64(size), int64(from), hashes)
	if err != nil {
		return nil, fmt.Errorf("proving that %d entries are the first of %d: %w", from, size, err)
	}
	if tlog.CheckTree(proof, int64(size), root, int64(from), old) != nil {
		return nil, damagef("its hashes lead to another root than its checkpoint of size %d was signed for", size)
	}
	plain := make([][]byte, len(proof))
	for i := range proof {
		plain[i] = proof[i][:]
	}
	return plain, nil
}

// rootAt is the root that the checkpoint of a size was signed for.
func (l *Ledger) rootAt(ctx context.Context, size int64) (tlog.Hash, error) {
	if head := l.head.Load(); head.size == size {
		return head.root, nil
	}
	var text string
	err := l.db.Reader.QueryRowContext(ctx, `SELECT note FROM checkpoints WHERE size = ?`, size).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return tlog.Hash{}, fmt.Errorf("looking for the checkpoint of size %d: %w", size, ErrNotFound)
	}
	if err != nil {
		return tlog.Hash{}, fmt.Errorf("reading the checkpoint of size %d: %w", size, err)
	}
	checkpoint, err := openNote(text, l.signer)
	if err != nil || checkpoint.N != size {
		return tlog.Hash{}, damagef("its checkpoint of size %d is of size %d: %v", size, checkpoint.N, err)
	}
	return checkpoint.Hash, nil
}

// Inclusion proves that the entry of a certificate, named by its serial or by the
// SHA-256 of its DER (lower-case hex), is in the log: one file (C2SP tlog-proof)
// with the entry's bytes as its extra data, for audit.CheckProof or any other
// verifier. Errors wrap [ErrNotFound] and [ErrDamaged].
func (l *Ledger) Inclusion(ctx context.Context, serialOrFingerprint string) ([]byte, error) {
	record, err := l.Lookup(ctx, serialOrFingerprint)
	if err != nil {
		return nil, err
	}
	head, err := l.reach(ctx, record.Index)
	if err != nil {
		return nil, err
	}
	proof, err := tlog.ProveRecord(head.size, int64(record.Index), stored{ctx, l.db.Reader})
	if err != nil {
		return nil, fmt.Errorf("proving entry %d: %w", record.Index, err)
	}
	if tlog.CheckRecord(proof, head.size, head.root, int64(record.Index), tlog.RecordHash(record.Data)) != nil {
		return nil, damagef("entry %d is not what its checkpoint of size %d was signed for", record.Index, head.size)
	}
	return torchwood.FormatProofWithExtraData(int64(record.Index), record.Data, proof, []byte(head.note)), nil
}

// reach waits for a checkpoint that covers an entry: one that was just committed
// can be read a moment before.
func (l *Ledger) reach(ctx context.Context, index uint64) (*head, error) {
	for {
		head := l.head.Load()
		if uint64(head.size) > index {
			return head, nil
		}
		select {
		case <-head.grown:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the checkpoint of entry %d: %w", index, ctx.Err())
		}
	}
}
