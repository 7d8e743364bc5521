package report

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// prunedAtOnce is how many pods one transaction takes: reports wait behind it.
const prunedAtOnce = 32

// podName is a pod as rows name it.
type podName struct{ namespace, pod string }

// Prune removes what is kept of pods that are gone and hold nothing, some at a time, and
// answers how many rows it removed. gone is asked again when a row is about to be removed,
// so that a pod which came back meanwhile loses nothing; it may not write to the store.
// Sightings stay for their time, and so does the word of an agent that saw the ledger
// fork, for ever. What is left after an error or a crash, the next call removes.
func (s *Store) Prune(ctx context.Context, gone func(namespace, pod string) bool) (removed int, err error) {
	pods, err := s.pods(ctx)
	if err != nil {
		return 0, err
	}
	pods = slices.DeleteFunc(pods, func(p podName) bool { return !gone(p.namespace, p.pod) })
	for some := range slices.Chunk(pods, prunedAtOnce) {
		err := s.group.Do(ctx, func(ctx context.Context, tx *sql.Tx) error {
			for _, p := range some {
				if !gone(p.namespace, p.pod) {
					continue
				}
				rows, err := p.prune(ctx, tx)
				if err != nil {
					return err
				}
				removed += rows
			}
			return nil
		})
		if err != nil {
			return removed, fmt.Errorf("removing what pods that are gone have left: %w", err)
		}
	}
	return removed, nil
}

// pods are all that anything is kept of.
func (s *Store) pods(ctx context.Context) ([]podName, error) {
	rows, err := s.db.Reader.QueryContext(ctx, `SELECT namespace, pod FROM reports
		UNION SELECT DISTINCT namespace, pod FROM acks UNION SELECT DISTINCT namespace, pod FROM sightings`)
	if err != nil {
		return nil, fmt.Errorf("listing pods that reported: %w", err)
	}
	defer rows.Close()
	var pods []podName
	for rows.Next() {
		var p podName
		if err := rows.Scan(&p.namespace, &p.pod); err != nil {
			return nil, fmt.Errorf("listing pods that reported: %w", err)
		}
		pods = append(pods, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("listing pods that reported: %w", err)
	}
	return pods, nil
}

// prune removes what one pod has left. A sighting of the far future was told by a clock
// that was wrong, or by a liar.
func (p podName) prune(ctx context.Context, tx *sql.Tx) (removed int, err error) {
	now := time.Now()
	for _, one := range []struct {
		text string
		args []any
	}{
		{`DELETE FROM reports WHERE namespace = ? AND pod = ? AND json_extract(data, '$.ledger.fork') IS NULL`, nil},
		{`DELETE FROM acks WHERE namespace = ? AND pod = ?`, nil},
		{`DELETE FROM sightings WHERE namespace = ? AND pod = ? AND seen NOT BETWEEN ? AND ?`,
			[]any{now.Add(-sightingLife).Unix(), now.Add(sightingLife).Unix()}},
	} {
		result, err := tx.ExecContext(ctx, one.text, append([]any{p.namespace, p.pod}, one.args...)...)
		if err != nil {
			return removed, err
		}
		rows, err := result.RowsAffected()
		if err != nil {
			return removed, err
		}
		removed += int(rows)
	}
	return removed, nil
}
