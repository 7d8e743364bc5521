package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// identities walks the SPIFFE IDs that ever got an SVID, each by one step in
// the index: the cost follows their number, not that of the entries.
const identities = `WITH RECURSIVE identities (id) AS (
	SELECT min(spiffe_id) FROM entries INDEXED BY entries_identity WHERE kind = 'svid'
	UNION ALL
	SELECT (SELECT min(spiffe_id) FROM entries INDEXED BY entries_identity WHERE kind = 'svid' AND spiffe_id > id) FROM identities WHERE id IS NOT NULL
) `

// live are the entries of SVIDs that have not ended, of an identity id.
const live = `entries INDEXED BY entries_identity WHERE kind = 'svid' AND spiffe_id = id AND not_after >= ?`

const (
	liveRecords = identities + `SELECT idx, data FROM identities JOIN ` + live + ` ORDER BY id, not_after`
	tallies     = identities + `SELECT id, (SELECT count(*) FROM ` + live + `),
	(SELECT time FROM entries INDEXED BY entries_spiffe_id WHERE kind = 'svid' AND spiffe_id = id ORDER BY time DESC LIMIT 1),
	(SELECT max(not_after) FROM entries INDEXED BY entries_identity WHERE kind = 'svid' AND spiffe_id = id)
	FROM identities WHERE id IS NOT NULL`
)

// Live are the SVIDs that are not expired at now, by SPIFFE ID and by end: the
// population of every gate. An SVID lives through the second in which it ends.
func (l *Ledger) Live(ctx context.Context, now time.Time) ([]Record, error) {
	found, err := query(ctx, l.db.Reader, liveRecords, now.Unix())
	if err != nil {
		return nil, fmt.Errorf("finding live SVIDs: %w", err)
	}
	return found, nil
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
	rows, err := l.db.Reader.QueryContext(ctx, tallies, now.Unix())
	if err != nil {
		return nil, fmt.Errorf("counting SVIDs: %w", err)
	}
	defer rows.Close()
	var found []Tally
	for rows.Next() {
		t, err := scanTally(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("counting SVIDs: %w", err)
	}
	return found, nil
}

func scanTally(rows *sql.Rows) (Tally, error) {
	var t Tally
	var issued, expires int64
	if err := rows.Scan(&t.SPIFFEID, &t.Live, &issued, &expires); err != nil {
		return Tally{}, fmt.Errorf("counting SVIDs: %w", err)
	}
	t.LastIssued, t.LastExpires = time.Unix(issued, 0).UTC(), time.Unix(expires, 0).UTC()
	return t, nil
}
