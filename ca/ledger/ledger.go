package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
	"github.com/ensign-mesh/ensign/ca/internal/groupcommit"
	"github.com/ensign-mesh/ensign/ca/internal/sqlite"
)

// MaxEntry is how many bytes an entry may have: as many as fit into a C2SP
// tlog-tiles entry bundle, whose lengths have 16 bits.
const MaxEntry = 1<<16 - 1

const (
	// maxBatch bounds one transaction; a commit of that size takes some 50 ms.
	maxBatch   = 512
	retryWrite = time.Second
)

// Config says where the ledger is. All fields but Logger and Registerer are required.
type Config struct {
	// Path of the SQLite file; its folder must exist. Beside it lies
	// PATH.checkpoint, against which an older copy of the file is recognized.
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
	mark    *mark
	statements
	serials lookup
	recent  recent
	// tree and doubt belong to the writer. doubt: a write failed, so what the
	// file holds must be read again.
	tree  tree
	doubt bool
	// background carries the values of Open's context and outlives it.
	background context.Context
	// head is the writer's tree, for readers.
	head atomic.Pointer[head]
}

// head is a tree that nothing changes any more. grown is closed when there is a newer one.
type head struct {
	tree
	grown chan struct{}
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
	l := &Ledger{config: c, db: db, signer: signer, background: context.WithoutCancel(ctx)}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the ledger %s: %w", c.Path, err), db.Close())
	}
	return l, nil
}

func (l *Ledger) start(ctx context.Context) (err error) {
	if l.metrics, err = newMetrics(l.config.Registerer); err != nil {
		return err
	}
	if err := l.reload(ctx); err != nil {
		return err
	}
	if l.statements, err = prepare(ctx, l.db.Writer); err != nil {
		return err
	}
	if l.serials, err = newLookup(ctx, l.db.Reader); err != nil {
		return err
	}
	if err := l.openMark(ctx); err != nil {
		return err
	}
	l.group = groupcommit.Start(groupcommit.Config[*entry]{
		Commit: l.commit, Probe: l.probe, Retry: retryWrite, MaxBatch: maxBatch,
	})
	return nil
}

// openMark holds the log against its mark, and keeps that up to date from now on.
func (l *Ledger) openMark(ctx context.Context) error {
	if l.config.vfs != "" {
		return nil
	}
	path := l.config.Path + ".checkpoint"
	if err := durable.SweepFile(path); err != nil {
		return err
	}
	err := checkMark(path, l.signer, l.tree.size, stored{ctx, l.db.Reader})
	switch {
	case errors.Is(err, os.ErrNotExist) && l.tree.size > 0:
		l.config.Logger.WarnContext(ctx, "ledger's mark is missing: had an older copy of the ledger been put here, nothing would show it; compare with a checkpoint kept elsewhere",
			"path", path, "entries", l.tree.size)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	}
	l.mark = startMark(path, l.config.Logger)
	l.mark.raise(l.tree.note)
	return nil
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
	index := uint64(request.index)
	if e.Kind == ca.KindSVID {
		l.recent.keep(e.Serial, Record{Index: index, Data: data})
	}
	return index, nil
}

// Healthy is nil while the ledger can be written.
func (l *Ledger) Healthy() error { return l.group.Healthy() }

// Checkpoint is the newest state: the note (C2SP tlog-checkpoint in a
// signed-note) that covers entries 0 to size-1, and the key to verify it with, in
// signed-note's text form. The note is "" while the log is empty.
func (l *Ledger) Checkpoint() (note, verifierKey string, size uint64) {
	head := l.head.Load()
	return head.note, l.signer.text, uint64(head.size)
}

// Changed is closed when there is a newer checkpoint than that of now: ask for it
// before [Ledger.Checkpoint], and none is missed.
func (l *Ledger) Changed() <-chan struct{} { return l.head.Load().grown }

// Close finishes the commit in hand and closes the file.
func (l *Ledger) Close() error {
	l.group.Close()
	l.mark.close()
	return l.db.Close()
}

// reload takes the state from the file.
func (l *Ledger) reload(ctx context.Context) error {
	t, err := load(ctx, l.db.Writer, l.signer)
	if err != nil {
		return err
	}
	l.install(t)
	l.doubt = false
	return nil
}

func (l *Ledger) install(t tree) {
	l.tree = t
	if old := l.head.Swap(&head{tree: t, grown: make(chan struct{})}); old != nil {
		close(old.grown)
	}
}
