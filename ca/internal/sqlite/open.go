package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	// The driver registers itself as "sqlite3".
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

// readers is how many queries may run beside the writer.
const readers = 4

// Config says which file to open.
type Config struct {
	// Path is the database file. Its folder must exist. "-wal" and "-shm" files lie beside it.
	Path string
	// Schema is one or more statements that make the tables where they are missing.
	Schema string
	// VFS names a registered SQLite VFS that holds the file instead of the
	// operating system. Empty: the operating system.
	VFS string
}

// DB is one open database.
type DB struct {
	// Writer has a single connection, whose transactions lock the file from their start.
	Writer *sql.DB
	// Reader has several connections that refuse to write.
	Reader *sql.DB

	path string
}

// Open opens the file, makes it with its tables if there is none, and returns
// when both are durable.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.VFS == "" {
		if err := prepareFiles(c.Path); err != nil {
			return nil, err
		}
	}
	db, err := openPools(c)
	if err != nil {
		return nil, err
	}
	if err := db.prepare(ctx, c); err != nil {
		return nil, errors.Join(db.unopened(err), db.Close())
	}
	return db, nil
}

// Close closes all connections. The last one moves the write-ahead log into the file.
func (db *DB) Close() error {
	return errors.Join(db.Reader.Close(), db.Writer.Close())
}

func openPools(c Config) (*DB, error) {
	writer, err := sql.Open("sqlite3", dsn(c, "_txlock=immediate"))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", c.Path, err)
	}
	writer.SetMaxOpenConns(1)
	reader, err := sql.Open("sqlite3", dsn(c, "_pragma=query_only(on)"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", c.Path, err), writer.Close())
	}
	reader.SetMaxOpenConns(readers)
	return &DB{Writer: writer, Reader: reader, path: c.Path}, nil
}

func (db *DB) prepare(ctx context.Context, c Config) error {
	var mode string
	if err := db.Writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return fmt.Errorf("opening %s: %w", c.Path, err)
	}
	if mode != "wal" {
		return fmt.Errorf("opening %s: journal mode is %q where WAL is needed; use a file system that can lock and map files", c.Path, mode)
	}
	if _, err := db.Writer.ExecContext(ctx, c.Schema); err != nil {
		return fmt.Errorf("making the tables of %s: %w", c.Path, err)
	}
	if c.VFS != "" {
		return nil
	}
	// SQLite would sync the folder with the first sync of a new log; this
	// driver's VFS syncs the log twice instead. Both files exist by now.
	return durable.SyncDir(filepath.Dir(c.Path))
}

// dsn is the connection string. The busy timeout comes first, as the driver asks.
func dsn(c Config, extra string) string {
	q := "_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=trusted_schema(off)&" + extra
	if c.VFS != "" {
		q += "&vfs=" + url.QueryEscape(c.VFS)
	} else {
		// The log takes the mode of the file. SQLite reads "+" as itself, not as a space.
		q += "&modeof=" + strings.ReplaceAll(url.QueryEscape(c.Path), "+", "%20")
	}
	return (&url.URL{Scheme: "file", Path: c.Path, OmitHost: true, RawQuery: q}).String()
}

// prepareFiles makes the files that SQLite would otherwise make readable for others.
func prepareFiles(path string) error {
	for _, name := range []string{path, path + "-shm"} {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return fmt.Errorf("making %s: %w", name, err)
		}
		if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
			return fmt.Errorf("closing %s to other users: %w", name, err)
		}
	}
	return nil
}
