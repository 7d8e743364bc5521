package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/groupcommit"
	"github.com/ensign-mesh/ensign/ca/internal/sqlite"
)

// MaxEntry is how many bytes an entry may have.
const MaxEntry = 64 << 10

const (
	// maxBatch bounds one transaction; a commit of that size takes some 20 ms.
	maxBatch   = 512
	retryWrite = time.Second
)

// Config says where the ledger is. All fields but Logger and Registerer are required.
type Config struct {
	// Path of the SQLite file; its folder must exist.
	Path string
	// Origin names the log, by C2SP tlog-checkpoint, e.g. "ensign/cluster.local/ledger".
	Origin string
	Keys   KeyStore
	Logger *slog.Logger
	// Registerer takes the ensign_ledger_* metrics.
	Registerer prometheus.Registerer

	// vfs is a test's disk.
	vfs string
}

// Ledger is one open log. It is safe for concurrent use; one process may have
// it open at a time.
type Ledger struct {
	config  Config
	db      *sqlite.DB
	signer  *signer
	group   *groupcommit.Group[*entry]
	metrics *metrics
	// tree and doubt belong to the writer. doubt: a write failed, so what the
	// file holds must be read again.
	tree  tree
	doubt bool
	// background carries the values of Open's context and outlives it.
	background context.Context
	head       atomic.Pointer[string]
}

// entry is one append on its way.
type entry struct {
	fields ca.Entry
	data   []byte
	index  int64
}

// Open opens the ledger, or makes it, and checks it. Errors wrap [ErrDamaged]
// when the store does not hold together.
func Open(ctx context.Context, c Config) (*Ledger, error) {
	if c.Path == "" || c.Origin == "" || c.Keys == nil {
		return nil, errors.New("a ledger needs a path, an origin and a key store")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	signer, err := newSigner(c.Keys, c.Origin)
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: c.Path, Schema: schema, VFS: c.vfs})
	if err != nil {
		return nil, fmt.Errorf("opening the ledger: %w", err)
	}
	l := &Ledger{config: c, db: db, signer: signer, metrics: newMetrics(c.Registerer), background: context.WithoutCancel(ctx)}
	if err := l.reload(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the ledger %s: %w", c.Path, err), db.Close())
	}
	l.group = groupcommit.Start(groupcommit.Config[*entry]{
		Commit: l.commit, Probe: l.probe, Retry: retryWrite, MaxBatch: maxBatch,
	})
	return l, nil
}

// Append implements [ca.Ledger]. When it returns nil the entry is durable. When
// it returns an error nothing was promised, though the entry may be there: the
// disk failed while it was being written. Once taken up, an append is waited for
// even if its context ends.
func (l *Ledger) Append(ctx context.Context, e ca.Entry) (uint64, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return 0, fmt.Errorf("encoding a ledger entry: %w", err)
	}
	if len(data) > MaxEntry {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), MaxEntry)
	}
	request := &entry{fields: e, data: data}
	if err := l.group.Do(ctx, request); err != nil {
		return 0, fmt.Errorf("appending to the ledger: %w", err)
	}
	return uint64(request.index), nil
}

// Healthy is nil while the ledger can be written.
func (l *Ledger) Healthy() error { return l.group.Healthy() }

// Checkpoint is the newest signed checkpoint, a C2SP signed note, and the key to
// verify it with. The note is "" while the log is empty.
func (l *Ledger) Checkpoint() (note, verifierKey string) { return *l.head.Load(), l.signer.text }

// Close finishes the commit in hand and closes the file.
func (l *Ledger) Close() error {
	l.group.Close()
	return l.db.Close()
}

// reload takes the state from the file.
func (l *Ledger) reload(ctx context.Context) error {
	t, err := load(ctx, l.db.Writer, l.config.Origin, l.signer)
	if err != nil {
		return err
	}
	l.install(t)
	l.doubt = false
	return nil
}

func (l *Ledger) install(t tree) {
	l.tree = t
	l.head.Store(&t.note)
}
