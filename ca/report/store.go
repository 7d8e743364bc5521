package report

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ensign-mesh/ensign/ca/internal/groupcommit"
	"github.com/ensign-mesh/ensign/ca/internal/sqlite"
)

const schema = `
CREATE TABLE IF NOT EXISTS reports (
	namespace TEXT NOT NULL,
	pod       TEXT NOT NULL,
	data      TEXT NOT NULL,
	PRIMARY KEY (namespace, pod)
) STRICT;
CREATE TABLE IF NOT EXISTS acks (
	namespace TEXT NOT NULL,
	pod       TEXT NOT NULL,
	serial    TEXT NOT NULL,
	at        INTEGER NOT NULL,
	data      TEXT NOT NULL,
	PRIMARY KEY (namespace, pod, serial)
) STRICT;
CREATE TABLE IF NOT EXISTS sightings (
	namespace TEXT NOT NULL,
	pod       TEXT NOT NULL,
	peer      TEXT NOT NULL,
	seen      INTEGER NOT NULL,
	data      TEXT NOT NULL,
	PRIMARY KEY (namespace, pod, peer)
) STRICT;
CREATE INDEX IF NOT EXISTS sightings_seen ON sightings (namespace, pod, seen);
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

	// vfs is a test's disk.
	vfs string
}

// Store keeps reports. It is safe for concurrent use; one process may have it
// open at a time.
type Store struct {
	db         *sqlite.DB
	group      *groupcommit.Group[write]
	background context.Context
}

// write is what one caller puts into a shared transaction.
type write func(ctx context.Context, tx *sql.Tx) error

// Open opens the file, or makes it.
func Open(ctx context.Context, c Config) (*Store, error) {
	db, err := sqlite.Open(ctx, sqlite.Config{Path: c.Path, Schema: schema, VFS: c.vfs})
	if err != nil {
		return nil, fmt.Errorf("opening the reports: %w", err)
	}
	s := &Store{db: db, background: context.WithoutCancel(ctx)}
	s.group = groupcommit.Start(groupcommit.Config[write]{Commit: s.commit, Probe: s.probe, Retry: retryWrite, MaxBatch: maxBatch})
	return s, nil
}

// Put keeps a report in the place of the pod's earlier one, and returns when it
// is durable; concurrent calls share one commit. Errors wrap [ErrInvalid] when
// the report is not one; after any other error the earlier report may still stand.
func (s *Store) Put(ctx context.Context, r Report) error {
	r = r.trim()
	if err := r.check(); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding the report of %s/%s: %w", r.Namespace, r.Pod, err)
	}
	err = s.group.Do(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO reports (namespace, pod, data) VALUES (?, ?, ?)`, r.Namespace, r.Pod, string(data))
		if err != nil {
			return err
		}
		return putAck(ctx, tx, r)
	})
	if err != nil {
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

func (s *Store) commit(batch []*groupcommit.Request[write]) error {
	return s.db.Unwritten(s.write(batch))
}

func (s *Store) write(batch []*groupcommit.Request[write]) error {
	tx, err := s.db.Writer.BeginTx(s.background, nil)
	if err != nil {
		return fmt.Errorf("beginning: %w", err)
	}
	defer tx.Rollback()
	for _, request := range batch {
		if err := request.Value(s.background, tx); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

func (s *Store) probe() error {
	_, err := s.db.Writer.ExecContext(s.background, `INSERT OR REPLACE INTO probe (id, at) VALUES (1, ?)`, time.Now().Unix())
	if err != nil {
		return fmt.Errorf("trying to write the reports: %w", s.db.Unwritten(err))
	}
	return nil
}

// All are the newest reports of every pod that ever reported, by namespace and pod.
func (s *Store) All(ctx context.Context) ([]Report, error) {
	return query[Report](ctx, s.db.Reader, `SELECT data FROM reports ORDER BY namespace, pod`)
}

// Get is the newest report of one pod. Errors wrap [ErrNotFound] if it never reported.
func (s *Store) Get(ctx context.Context, namespace, pod string) (Report, error) {
	found, err := query[Report](ctx, s.db.Reader, `SELECT data FROM reports WHERE namespace = ? AND pod = ?`, namespace, pod)
	if err != nil {
		return Report{}, err
	}
	if len(found) == 0 {
		return Report{}, fmt.Errorf("%w by %s/%s", ErrNotFound, namespace, pod)
	}
	return found[0], nil
}

// query decodes the one column of each row.
func query[T any](ctx context.Context, db *sql.DB, text string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading reports: %w", err)
	}
	defer rows.Close()
	var found []T
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return nil, fmt.Errorf("reading reports: %w", err)
		}
		var one T
		if err := json.Unmarshal(data, &one); err != nil {
			return nil, fmt.Errorf("decoding a report: %w", err)
		}
		found = append(found, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading reports: %w", err)
	}
	return found, nil
}
