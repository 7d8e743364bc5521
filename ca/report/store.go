package report

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ensign-mesh/ensign/ca/internal/groupcommit"
	"github.com/ensign-mesh/ensign/ca/internal/sqlite"
)

const schema = `
CREATE TABLE IF NOT EXISTS reports (
	namespace TEXT NOT NULL,
	pod       TEXT NOT NULL,
	data      BLOB NOT NULL,
	PRIMARY KEY (namespace, pod)
) STRICT;
CREATE TABLE IF NOT EXISTS probe (
	id INTEGER PRIMARY KEY,
	at INTEGER NOT NULL
) STRICT;
`

const (
	maxBatch   = 512
	retryWrite = time.Second
)

// Config says where the reports are.
type Config struct {
	// Path of the SQLite file; its folder must exist.
	Path string
}

// Store keeps reports. It is safe for concurrent use; one process may have it
// open at a time.
type Store struct {
	db         *sqlite.DB
	group      *groupcommit.Group[Report]
	background context.Context
}

// Open opens the file, or makes it.
func Open(ctx context.Context, c Config) (*Store, error) {
	db, err := sqlite.Open(ctx, sqlite.Config{Path: c.Path, Schema: schema})
	if err != nil {
		return nil, fmt.Errorf("opening the reports: %w", err)
	}
	s := &Store{db: db, background: context.WithoutCancel(ctx)}
	s.group = groupcommit.Start(groupcommit.Config[Report]{Commit: s.commit, Probe: s.probe, Retry: retryWrite, MaxBatch: maxBatch})
	return s, nil
}

// Put keeps a report in the place of the pod's earlier one, and returns when it
// is durable. Errors wrap [ErrInvalid] when the report is not one.
func (s *Store) Put(ctx context.Context, r Report) error {
	if err := r.check(); err != nil {
		return err
	}
	if err := s.group.Do(ctx, r); err != nil {
		return fmt.Errorf("storing the report of %s/%s: %w", r.Namespace, r.Pod, err)
	}
	return nil
}

// Healthy is nil while reports can be written.
func (s *Store) Healthy() error { return s.group.Healthy() }

// Close finishes the commit in hand and closes the file.
func (s *Store) Close() error {
	s.group.Close()
	return s.db.Close()
}

func (s *Store) commit(batch []*groupcommit.Request[Report]) error {
	tx, err := s.db.Writer.BeginTx(s.background, nil)
	if err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback()
	for _, request := range batch {
		if err := upsert(s.background, tx, request.Value); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

func upsert(ctx context.Context, tx *sql.Tx, r Report) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	_, err = tx.ExecContext(ctx, `INSERT OR REPLACE INTO reports (namespace, pod, data) VALUES (?, ?, ?)`, r.Namespace, r.Pod, data)
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

func (s *Store) probe() error {
	_, err := s.db.Writer.ExecContext(s.background, `INSERT OR REPLACE INTO probe (id, at) VALUES (1, ?)`, time.Now().Unix())
	if err != nil {
		return fmt.Errorf("trying to write the reports: %w", err)
	}
	return nil
}

// All are the newest reports of every pod that ever reported, by namespace and pod.
func (s *Store) All(ctx context.Context) ([]Report, error) {
	rows, err := s.db.Reader.QueryContext(ctx, `SELECT data FROM reports ORDER BY namespace, pod`)
	if err != nil {
		return nil, fmt.Errorf("reading reports: %w", err)
	}
	defer rows.Close()
	var reports []Report
	for rows.Next() {
		var data []byte
		var r Report
		if err := errors.Join(rows.Scan(&data), json.Unmarshal(data, &r)); err != nil {
			return nil, fmt.Errorf("reading reports: %w", err)
		}
		reports = append(reports, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading reports: %w", err)
	}
	return reports, nil
}
