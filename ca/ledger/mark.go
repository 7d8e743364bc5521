package ledger

import (
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

// markEvery is how far the mark may lag behind the ledger.
const markEvery = time.Second

// mark is a file with a recent checkpoint, outside of the database: who puts
// an older copy of the database in its place is found out by it. It follows
// the ledger from its own goroutine and never delays an answer. A nil mark does nothing.
type mark struct {
	path            string
	log             *slog.Logger
	note            atomic.Pointer[string]
	poke            chan struct{}
	closing, closed chan struct{}
	once            sync.Once
}

func startMark(path string, log *slog.Logger) *mark {
	m := &mark{path: path, log: log, poke: make(chan struct{}, 1), closing: make(chan struct{}), closed: make(chan struct{})}
	go m.run()
	return m
}

// raise notes a newer checkpoint, to be written soon.
func (m *mark) raise(text string) {
	if m == nil || text == "" {
		return
	}
	m.note.Store(&text)
	select {
	case m.poke <- struct{}{}:
	default:
	}
}

// close writes the newest checkpoint and ends.
func (m *mark) close() {
	if m == nil {
		return
	}
	m.once.Do(func() { close(m.closing) })
	<-m.closed
}

func (m *mark) run() {
	defer close(m.closed)
	for {
		select {
		case <-m.poke:
			m.write()
		case <-m.closing:
			m.write()
			return
		}
		select {
		case <-time.After(markEvery):
		case <-m.closing:
		}
	}
}

func (m *mark) write() {
	text := m.note.Swap(nil)
	if text == nil {
		return
	}
	if err := durable.WriteFile(m.path, []byte(*text), 0o600); err != nil {
		m.log.Warn("ledger's mark not written", "path", m.path, "error", err)
	}
}

// checkMark sees that a log of this size grew from the marked state. An error wraps
// [os.ErrNotExist] if there is no mark.
func checkMark(path string, verifier note.Verifier, size int64, hashes tlog.HashReader) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the ledger's mark: %w", err)
	}
	marked, err := openNote(string(text), verifier)
	if err != nil {
		return damagef("the checkpoint in %s: %v", path, err)
	}
	if marked.N > size {
		return fmt.Errorf("%w: it has %d entries, and %s shows that it had %d; restore a copy that is as new, or move %s away to go on without the lost entries",
			ErrRolledBack, size, path, marked.N, path)
	}
	root, err := tlog.TreeHash(marked.N, hashes)
	if err != nil {
		return fmt.Errorf("computing the root of %d entries: %w", marked.N, err)
	}
	if root != marked.Hash {
		return damagef("its first %d entries are not those that %s was signed for", marked.N, path)
	}
	return nil
}
