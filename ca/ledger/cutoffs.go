package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// What revocation asks. SVIDs renewed from a serial are found through those that
// were renewed from it, however often; a serial is its own ancestor in no log
// that this program wrote, and UNION ends the walk in any other. (+made: the index
// serves comparisons without type conversion only. CROSS JOIN: from left to right.)
const (
	revocations = `SELECT idx, data FROM entries INDEXED BY entries_kind WHERE kind = 'revocation' ORDER BY idx`
	liveIssuers = `SELECT idx, data FROM entries INDEXED BY entries_kind WHERE kind = 'issuer' AND not_after >= ? ORDER BY idx`
	renewals    = `WITH RECURSIVE renewed (at, made) AS (
	SELECT idx, serial FROM entries INDEXED BY entries_proof_serial WHERE data ->> '$.proof_serial' = ?1 AND kind = 'svid'
	UNION
	SELECT idx, serial FROM renewed CROSS JOIN entries INDEXED BY entries_proof_serial ON data ->> '$.proof_serial' = +made WHERE kind = 'svid'
) SELECT idx, data FROM renewed CROSS JOIN entries ON idx = at WHERE made <> ?1 ORDER BY idx`
	countSince = `SELECT count(*) FROM entries INDEXED BY entries_spiffe_id WHERE spiffe_id = ? AND time >= ? AND kind = 'svid'`
)

// Revocations are all acts that ever cut somebody off or let somebody back in,
// oldest first.
func (l *Ledger) Revocations(ctx context.Context) ([]ca.Recorded, error) {
	return l.recorded(ctx, "finding revocations", revocations)
}

// LiveSVIDs are the SVIDs that are not expired at now, by SPIFFE ID and by end.
func (l *Ledger) LiveSVIDs(ctx context.Context, now time.Time) ([]ca.Recorded, error) {
	return l.recorded(ctx, "finding live SVIDs", liveRecords, now.Unix())
}

// Renewals are the SVIDs, of any age, that were renewed from the one with this
// serial (lower-case hex), or from one of these, and so on; without itself,
// oldest first. An unknown serial has none.
func (l *Ledger) Renewals(ctx context.Context, serial string) ([]ca.Recorded, error) {
	return l.recorded(ctx, "finding renewals of "+serial, renewals, serial)
}

// LiveIssuers are the issuers that are not expired at now, oldest first.
func (l *Ledger) LiveIssuers(ctx context.Context, now time.Time) ([]ca.Recorded, error) {
	return l.recorded(ctx, "finding live issuers", liveIssuers, now.Unix())
}

// CountSince is how many SVIDs an identity got since a time. It reads no entry,
// so unlike all others it does not notice one that was changed.
func (l *Ledger) CountSince(ctx context.Context, spiffeID string, since time.Time) (int, error) {
	var count int
	if err := l.db.Reader.QueryRowContext(ctx, countSince, spiffeID, since.Unix()).Scan(&count); err != nil {
		return 0, fmt.Errorf("counting SVIDs of %s: %w", spiffeID, err)
	}
	return count, nil
}

func (l *Ledger) recorded(ctx context.Context, doing, text string, args ...any) ([]ca.Recorded, error) {
	records, err := query(ctx, l.db.Reader, text, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	found := make([]ca.Recorded, 0, len(records))
	for _, r := range records {
		e, err := r.Entry()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		found = append(found, ca.Recorded{Index: r.Index, Entry: e})
	}
	return found, nil
}
