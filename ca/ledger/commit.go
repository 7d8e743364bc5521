package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca/internal/groupcommit"
)

// commit writes a batch: entries, hashes and one checkpoint in one transaction.
// It is called by the group's goroutine only. What callers' contexts say no
// longer counts: an entry that was taken up is written.
func (l *Ledger) commit(batch []*groupcommit.Request[*entry]) error {
	start := time.Now()
	ctx := l.background
	if l.doubt {
		if err := l.reload(ctx); err != nil {
			return err
		}
	}
	next, added, err := l.write(ctx, batch)
	if err != nil {
		l.doubt = true
		l.config.Logger.Error("ledger not written", "entries", len(batch), "error", err)
		return err
	}
	if added > 0 {
		next.trim()
		l.install(next)
	}
	l.metrics.observe(added, time.Since(start))
	return nil
}

func (l *Ledger) write(ctx context.Context, batch []*groupcommit.Request[*entry]) (tree, int, error) {
	tx, err := l.db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return tree{}, 0, fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback()
	next, added := l.tree.copy(), 0
	for _, request := range batch {
		taken, err := isTaken(ctx, tx, request.Value)
		if err != nil {
			return tree{}, 0, err
		}
		if taken {
			request.Refuse(fmt.Errorf("%w: %s", ErrSerial, request.Value.fields.Serial))
			continue
		}
		if err := insert(ctx, tx, &next, request.Value); err != nil {
			return tree{}, 0, err
		}
		added++
	}
	if added == 0 {
		return next, 0, nil
	}
	if err := next.sign(l.config.Origin, l.signer); err != nil {
		return tree{}, 0, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO checkpoints (size, note) VALUES (?, ?)`, next.size, next.note); err != nil {
		return tree{}, 0, fmt.Errorf("storing the checkpoint: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return tree{}, 0, fmt.Errorf("committing: %w", err)
	}
	return next, added, nil
}

// isTaken says whether the serial was issued before, in this batch too.
func isTaken(ctx context.Context, tx *sql.Tx, e *entry) (bool, error) {
	if e.fields.Serial == "" {
		return false, nil
	}
	var taken bool
	err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM entries WHERE serial = ? AND serial <> '' AND kind <> 'root')`, e.fields.Serial).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("looking for serial %s: %w", e.fields.Serial, err)
	}
	return taken, nil
}

func insert(ctx context.Context, tx *sql.Tx, t *tree, e *entry) error {
	e.index = t.size
	at, hashes, err := t.grow(e.data)
	if err != nil {
		return fmt.Errorf("hashing entry %d: %w", e.index, err)
	}
	f := e.fields
	_, err = tx.ExecContext(ctx,
		`INSERT INTO entries (idx, data, kind, serial, spiffe_id, issued_at, not_after) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		e.index, e.data, string(f.Kind), f.Serial, f.SPIFFEID, seconds(f.Time), seconds(f.NotAfter))
	if err != nil {
		return fmt.Errorf("storing entry %d: %w", e.index, err)
	}
	return insertHashes(ctx, tx, at, hashes)
}

func insertHashes(ctx context.Context, tx *sql.Tx, at int64, hashes []tlog.Hash) error {
	for i, hash := range hashes {
		if _, err := tx.ExecContext(ctx, `INSERT INTO hashes (idx, hash) VALUES (?, ?)`, at+int64(i), hash[:]); err != nil {
			return fmt.Errorf("storing hash %d: %w", at+int64(i), err)
		}
	}
	return nil
}

// probe finds out whether the file can be written again.
func (l *Ledger) probe() error {
	_, err := l.db.Writer.ExecContext(l.background, `INSERT OR REPLACE INTO probe (id, at) VALUES (1, ?)`, time.Now().Unix())
	if err != nil {
		return fmt.Errorf("trying to write the ledger: %w", err)
	}
	return nil
}

// seconds is a time as the tables hold it; 0 is no time.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
