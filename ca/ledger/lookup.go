package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca"
)

// lookup finds certificates by their serial. Its statements are prepared once:
// much of the price was reading the text of the question.
type lookup struct{ record, hash *sql.Stmt }

func newLookup(ctx context.Context, db *sql.DB) (l lookup, err error) {
	if l.record, err = db.PrepareContext(ctx, bySerial); err != nil {
		return l, fmt.Errorf("preparing to look for serials: %w", err)
	}
	if l.hash, err = db.PrepareContext(ctx, `SELECT hash FROM hashes WHERE idx = ?`); err != nil {
		return l, fmt.Errorf("preparing to look for serials: %w", err)
	}
	return l, nil
}

// find answers a record that is what was hashed. Errors wrap [ErrNotFound] or [ErrDamaged].
func (l lookup) find(ctx context.Context, serial string) (Record, error) {
	var r Record
	err := l.record.QueryRowContext(ctx, serial).Scan(&r.Index, &r.Data)
	if errors.Is(err, sql.ErrNoRows) {
		return Record{}, ErrNotFound
	}
	if err != nil {
		return Record{}, fmt.Errorf("reading the ledger: %w", err)
	}
	var hash []byte
	err = l.hash.QueryRowContext(ctx, leaf(r)).Scan(&hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Record{}, fmt.Errorf("reading hashes: %w", err)
	}
	if len(hash) != tlog.HashSize || tlog.Hash(hash) != tlog.RecordHash(r.Data) {
		return Record{}, damagef("entry %d is not what was hashed", r.Index)
	}
	return r, nil
}

// BySerial is the entry of an issued certificate (serial in lower-case hex).
// Errors wrap [ErrNotFound] if this ledger never issued it.
func (l *Ledger) BySerial(ctx context.Context, serial string) (ca.Entry, error) {
	r, ok := l.recent.find(serial)
	if ok {
		return r.Entry()
	}
	r, err := l.serials.find(ctx, serial)
	if err != nil {
		return ca.Entry{}, fmt.Errorf("looking for serial %s: %w", serial, err)
	}
	l.recent.keep(serial, r)
	return r.Entry()
}
