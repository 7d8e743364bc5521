package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/ensign-mesh/ensign/ca/internal/groupcommit"
)

// statements are prepared once, on the one connection that writes.
type statements struct{ entry, hash, checkpoint *sql.Stmt }

func prepare(ctx context.Context, db *sql.DB) (s statements, err error) {
	for _, p := range []struct {
		into  **sql.Stmt
		query string
	}{
		{&s.entry, `INSERT INTO entries (idx, data) VALUES (?, ?)`},
		{&s.hash, `INSERT INTO hashes (idx, hash) VALUES (?, ?)`},
		{&s.checkpoint, `INSERT INTO checkpoints (size, note) VALUES (?, ?)`},
	} {
		if *p.into, err = db.PrepareContext(ctx, p.query); err != nil {
			return s, fmt.Errorf("preparing to write: %w", err)
		}
	}
	return s, nil
}

// in binds the statements to a transaction.
func (s statements) in(ctx context.Context, tx *sql.Tx) statements {
	return statements{entry: tx.StmtContext(ctx, s.entry), hash: tx.StmtContext(ctx, s.hash), checkpoint: tx.StmtContext(ctx, s.checkpoint)}
}

// commit writes a batch: entries, hashes and one checkpoint in one transaction.
// It is called by the group's goroutine only. What callers' contexts say no
// longer counts: an entry that was taken up is written.
func (l *Ledger) commit(batch []*groupcommit.Request[*entry]) error {
	start := time.Now()
	if err := l.settle(); err != nil {
		return err
	}
	next, added, err := l.write(l.background, batch)
	if err != nil {
		err = l.db.Unwritten(err)
		l.doubt = true
		l.metrics.failures.Inc()
		l.config.Logger.Error("ledger not written", "entries", len(batch), "error", err)
		return err
	}
	if added == 0 {
		return nil
	}
	next.trim()
	l.install(next)
	l.metrics.observe(added, time.Since(start))
	l.mark.raise(next.note)
	return nil
}

// settle reads the state again after a failed write: the file alone knows
// whether that transaction took place.
func (l *Ledger) settle() error {
	if !l.doubt {
		return nil
	}
	return l.reload(l.background)
}

func (l *Ledger) write(ctx context.Context, batch []*groupcommit.Request[*entry]) (tree, int, error) {
	tx, err := l.db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return tree{}, 0, fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback()
	to, next, added := l.statements.in(ctx, tx), l.tree.copy(), 0
	for _, request := range batch {
		refused, err := to.insert(ctx, &next, request.Value)
		switch {
		case err != nil:
			return tree{}, 0, err
		case refused != nil:
			request.Refuse(refused)
		default:
			added++
		}
	}
	if added == 0 {
		return next, 0, nil
	}
	if err := next.sign(l.config.Origin, l.signer); err != nil {
		return tree{}, 0, err
	}
	if _, err := to.checkpoint.ExecContext(ctx, next.size, next.note); err != nil {
		return tree{}, 0, fmt.Errorf("storing the checkpoint: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return tree{}, 0, fmt.Errorf("committing: %w", err)
	}
	return next, added, nil
}

// insert stores one entry and its hashes. What the schema forbids is refused:
// the entry's own fault, and the batch goes on. An error is the store's.
func (s statements) insert(ctx context.Context, t *tree, e *entry) (refused, err error) {
	_, err = s.entry.ExecContext(ctx, t.size, string(e.data))
	switch {
	case errors.Is(err, sqlite3.CONSTRAINT_UNIQUE):
		return fmt.Errorf("%w: %s", ErrSerial, e.fields.Serial), nil
	case errors.Is(err, sqlite3.CONSTRAINT_CHECK):
		return fmt.Errorf("%w: kind %q, serial %q, SPIFFE ID %q, not after %v", ErrIncomplete,
			e.fields.Kind, e.fields.Serial, e.fields.SPIFFEID, e.fields.NotAfter), nil
	case err != nil:
		return nil, fmt.Errorf("storing entry %d: %w", t.size, err)
	}
	e.index = t.size
	at, hashes, err := t.grow(e.data)
	if err != nil {
		return nil, fmt.Errorf("hashing entry %d: %w", e.index, err)
	}
	for i, hash := range hashes {
		if _, err := s.hash.ExecContext(ctx, at+int64(i), hash[:]); err != nil {
			return nil, fmt.Errorf("storing hash %d: %w", at+int64(i), err)
		}
	}
	return nil, nil
}

// probe finds out whether the file can be written again.
func (l *Ledger) probe() error {
	if err := l.settle(); err != nil {
		return err
	}
	_, err := l.db.Writer.ExecContext(l.background, `INSERT OR REPLACE INTO probe (id, at) VALUES (1, ?)`, time.Now().Unix())
	if err != nil {
		return fmt.Errorf("trying to write the ledger: %w", l.db.Unwritten(err))
	}
	return nil
}
