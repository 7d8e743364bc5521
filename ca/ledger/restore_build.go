package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ensign-mesh/ensign/ca/internal/sqlite"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// restoreBatch is how many entries of a backup one transaction takes.
const restoreBatch = 10_000

// builder writes the lines of a backup into a new store, each after package audit
// found that it fits.
type builder struct {
	*restorer
	ctx context.Context
	db  *sql.DB
	all statements
	// tx is the transaction in hand, and to the statements bound to it.
	tx *sql.Tx
	to statements
}

// build makes the new store; what it holds is proven when it returns without an error.
func (r *restorer) build(ctx context.Context) (result audit.Result, err error) {
	db, err := sqlite.Open(ctx, sqlite.Config{Path: r.temp, Schema: tables})
	if err != nil {
		return audit.Result{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	b := &builder{restorer: r, ctx: ctx, db: db.Writer}
	if b.all, err = prepare(ctx, db.Writer); err != nil {
		return audit.Result{}, err
	}
	r.tree = tree{}
	if err := b.begin(); err != nil {
		return audit.Result{}, err
	}
	defer func() { b.tx.Rollback() }()
	if result, err = audit.VerifyFile(ctx, r.From, audit.Options{Key: r.signer.text, Progress: r.Progress, Take: b.take}); err != nil {
		return audit.Result{}, err
	}
	if err := r.held(); err != nil {
		return audit.Result{}, err
	}
	if err := b.tx.Commit(); err != nil {
		return audit.Result{}, fmt.Errorf("committing: %w", err)
	}
	if _, err := db.Writer.ExecContext(ctx, indexes); err != nil {
		return audit.Result{}, fmt.Errorf("making the indexes: %w", err)
	}
	return result, nil
}

// begin starts a transaction, and forgets hashes that no later one needs.
func (b *builder) begin() (err error) {
	b.tree.trim()
	if b.tx, err = b.db.BeginTx(b.ctx, nil); err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	b.to = b.all.in(b.ctx, b.tx)
	return nil
}

func (b *builder) take(line audit.Line) error {
	if line.Data == nil {
		return b.checkpoint(line.Checkpoint)
	}
	if refused, err := b.to.insert(b.ctx, &b.tree, &entry{data: line.Data}); refused != nil || err != nil {
		return errors.Join(refused, err)
	}
	if err := b.hold(); err != nil {
		return err
	}
	if b.tree.size%restoreBatch != 0 {
		return nil
	}
	if err := b.tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return b.begin()
}

// checkpoint stores one that the backup carries, and that was verified.
func (b *builder) checkpoint(note string) error {
	if note == "" {
		return nil
	}
	if _, err := b.to.checkpoint.ExecContext(b.ctx, b.tree.size, note); err != nil {
		return fmt.Errorf("storing the checkpoint of size %d: %w", b.tree.size, err)
	}
	return nil
}
