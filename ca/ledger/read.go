package ledger

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// page is how many entries one query reads: no reader holds a snapshot of the
// file for long, which would keep its write-ahead log growing.
const page = 1000

// Record is one entry as it was hashed.
type Record struct {
	Index uint64
	Data  []byte // the JSON of a ca.Entry
}

// Read yields entries in order, from an index on, at most limit (0: to the end).
// An error ends it.
func (l *Ledger) Read(ctx context.Context, from, limit uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for left := limit; ; {
			ask := uint64(page)
			if limit > 0 {
				ask = min(ask, left)
			}
			records, err := l.readPage(ctx, from, ask)
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
			from, left = from+read, left-min(left, read)
			if read < page || (limit > 0 && left == 0) {
				return
			}
		}
	}
}

func (l *Ledger) readPage(ctx context.Context, from, limit uint64) ([]Record, error) {
	if from > 1<<62 {
		return nil, nil
	}
	rows, err := l.db.Reader.QueryContext(ctx, `SELECT idx, data FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?`, int64(from), int64(limit))
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	defer rows.Close()
	var records []Record
	for rows.Next() {
		var r Record
		if err := rows.Scan(&r.Index, &r.Data); err != nil {
			return nil, fmt.Errorf("reading the ledger: %w", err)
		}
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return records, nil
}

// Tally sums up the SVIDs of one SPIFFE ID.
type Tally struct {
	SPIFFEID string
	// Live is how many are not expired.
	Live                    uint32
	LastIssued, LastExpires time.Time
}

// Tallies sums up every SPIFFE ID that ever got an SVID, sorted.
func (l *Ledger) Tallies(ctx context.Context, now time.Time) ([]Tally, error) {
	rows, err := l.db.Reader.QueryContext(ctx, `
		SELECT spiffe_id, count(CASE WHEN not_after > ? THEN 1 END), max(issued_at), max(not_after)
		FROM entries WHERE kind = 'svid' GROUP BY spiffe_id ORDER BY spiffe_id`, now.Unix())
	if err != nil {
		return nil, fmt.Errorf("counting SVIDs: %w", err)
	}
	defer rows.Close()
	var tallies []Tally
	for rows.Next() {
		var t Tally
		var issued, expires int64
		if err := rows.Scan(&t.SPIFFEID, &t.Live, &issued, &expires); err != nil {
			return nil, fmt.Errorf("counting SVIDs: %w", err)
		}
		t.LastIssued, t.LastExpires = time.Unix(issued, 0).UTC(), time.Unix(expires, 0).UTC()
		tallies = append(tallies, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("counting SVIDs: %w", err)
	}
	return tallies, nil
}
