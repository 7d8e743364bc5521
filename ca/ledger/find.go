package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// Query narrows what Find returns; a zero field narrows nothing.
type Query struct {
	Kind     ca.EntryKind
	SPIFFEID string
	// Since leaves out entries made before it.
	Since time.Time
	// Limit is how many of the newest entries are wanted, at least 1.
	Limit int
}

// The three ways to find entries, newest first, each along its own index.
const (
	newest = `time >= ? ORDER BY time DESC, idx DESC LIMIT ?`

	findByTime     = `SELECT idx, data FROM entries INDEXED BY entries_time WHERE ` + newest
	findByKind     = `SELECT idx, data FROM entries INDEXED BY entries_kind WHERE kind = ? AND ` + newest
	findByIdentity = `SELECT idx, data FROM entries INDEXED BY entries_spiffe_id WHERE spiffe_id = ?2 AND (?1 = '' OR kind = ?1) AND time >= ?3 ORDER BY time DESC, idx DESC LIMIT ?4`
)

// maxRoots is more roots than a mesh has in its life.
const maxRoots = 1000

// Roots returns the entries of the roots that were ever put in force, oldest first.
func (l *Ledger) Roots(ctx context.Context) ([]ca.Entry, error) {
	records, err := l.Find(ctx, Query{Kind: ca.KindRoot, Limit: maxRoots})
	if err != nil {
		return nil, err
	}
	roots := make([]ca.Entry, 0, len(records))
	for _, r := range records {
		root, err := r.Entry()
		if err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	return roots, nil
}

// maxEnding is more SVIDs than one identity gets within a second.
const maxEnding = 1000

const ending = `SELECT idx, data FROM entries INDEXED BY entries_identity WHERE kind = 'svid' AND spiffe_id = ? AND not_after = ? ORDER BY idx LIMIT ?`

// Ending returns the SVIDs of an identity that end at a time (whole seconds), oldest
// first: few, however many it ever had.
func (l *Ledger) Ending(ctx context.Context, spiffeID string, notAfter time.Time) ([]Record, error) {
	found, err := query(ctx, l.db.Reader, ending, spiffeID, notAfter.Unix(), maxEnding)
	if err != nil {
		return nil, fmt.Errorf("finding SVIDs by their end: %w", err)
	}
	return found, nil
}

// Find returns the newest entries that match, in the order in which they were made.
func (l *Ledger) Find(ctx context.Context, q Query) ([]Record, error) {
	text, args := findByTime, []any{}
	switch {
	case q.SPIFFEID != "":
		text, args = findByIdentity, []any{string(q.Kind), q.SPIFFEID}
	case q.Kind != "":
		text, args = findByKind, []any{string(q.Kind)}
	}
	since := int64(0)
	if !q.Since.IsZero() {
		since = q.Since.Unix()
	}
	found, err := query(ctx, l.db.Reader, text, append(args, since, max(1, q.Limit))...)
	if err != nil {
		return nil, fmt.Errorf("finding entries: %w", err)
	}
	slices.Reverse(found)
	return found, nil
}
