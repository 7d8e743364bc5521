package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/ensign-mesh/ensign/ca"
)

// page is how many entries one query reads: no reader holds a snapshot of the
// file for long, which would keep its write-ahead log growing.
const page = 1000

// Record is one entry as it was hashed.
type Record struct {
	Index uint64
	Data  []byte // the JSON of a ca.Entry
}

// Entry decodes the record.
func (r Record) Entry() (ca.Entry, error) {
	var e ca.Entry
	if err := json.Unmarshal(r.Data, &e); err != nil {
		return ca.Entry{}, fmt.Errorf("decoding ledger entry %d: %w", r.Index, err)
	}
	return e, nil
}

// Read yields entries in order, from an index on, at most limit (0: to the end).
// An error ends it; it wraps [ErrDamaged] if an entry is not what was hashed.
func (l *Ledger) Read(ctx context.Context, from, limit uint64) iter.Seq2[Record, error] {
	if limit == 0 {
		limit = math.MaxInt64
	}
	return func(yield func(Record, error) bool) {
		for left := limit; left > 0; {
			ask := min(page, left)
			records, err := readPage(ctx, l.db.Reader, from, ask)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, record := range records {
				if !yield(record, nil) {
					return
				}
			}
			read := uint64(len(records))
			if read < ask {
				return
			}
			from, left = from+read, left-read
		}
	}
}

const readRun = `SELECT idx, data FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?`

func readPage(ctx context.Context, db *sql.DB, from, limit uint64) ([]Record, error) {
	if from > math.MaxInt64 {
		return nil, nil
	}
	return query(ctx, db, readRun, int64(from), int64(limit))
}

// query takes all rows of a query for index and data, and checks them.
func query(ctx context.Context, db *sql.DB, text string, args ...any) ([]Record, error) {
	found, err := unchecked(ctx, db, text, args...)
	if err != nil {
		return nil, err
	}
	return found, stored{ctx, db}.check(found)
}

func unchecked(ctx context.Context, db *sql.DB, text string, args ...any) ([]Record, error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	defer rows.Close()
	var found []Record
	for rows.Next() {
		var r Record
		if err := rows.Scan(&r.Index, &r.Data); err != nil {
			return nil, fmt.Errorf("reading the ledger: %w", err)
		}
		found = append(found, r)
	}
	// A writer's pool has one connection: it must be free for the next query.
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return found, nil
}

// The certificates that were issued, by their serial and by their SHA-256.
const (
	bySerial      = `SELECT idx, data FROM entries WHERE serial = ? AND kind IN ('svid', 'server', 'issuer')`
	byCertificate = `SELECT idx, data FROM entries WHERE certificate = ? AND certificate IS NOT NULL ORDER BY idx LIMIT 1`
)

// Lookup is the record of a certificate, by its serial or by the SHA-256 of its
// DER, both in lower-case hex. Errors wrap [ErrNotFound].
func (l *Ledger) Lookup(ctx context.Context, serialOrFingerprint string) (Record, error) {
	r, err := l.serials.find(ctx, serialOrFingerprint)
	if errors.Is(err, ErrNotFound) {
		r, err = l.one(ctx, byCertificate, serialOrFingerprint)
	}
	if err != nil {
		return Record{}, fmt.Errorf("looking for certificate %s: %w", serialOrFingerprint, err)
	}
	return r, nil
}

func (l *Ledger) one(ctx context.Context, text, arg string) (Record, error) {
	found, err := query(ctx, l.db.Reader, text, arg)
	if err != nil {
		return Record{}, err
	}
	if len(found) == 0 {
		return Record{}, ErrNotFound
	}
	return found[0], nil
}
