package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"filippo.io/torchwood"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// maxMemory is the largest file of a memory: a note, a fork and a key fit well.
const maxMemory = 64 << 10

// memory is what an agent remembers of the ledger: the form of ledger.checkpoint.
type memory struct {
	// VerifierKey is the first that was seen; a log has one for life.
	VerifierKey string `json:"verifier_key"`
	// Note is the newest checkpoint that was proven to grow from the one before.
	Note string `json:"note"`
	// Fork is the first checkpoint that contradicts it, and why; "" if none did.
	Fork string `json:"fork,omitempty"`
}

// ledgerMemory holds the control plane to its ledger: each checkpoint that it shows
// must hold all that the last one held. It only remembers and tells; the agent goes
// on serving.
type ledgerMemory struct {
	path    string
	metrics *metrics
	logger  *slog.Logger
	shown   chan shownProof

	mu      sync.Mutex // guards all below
	memory  memory
	newest  *torchwood.Checkpoint // nil before the first
	changed chan struct{}         // closed when there is a fork
}

// shownProof is one that answers a report of a ledger of so many entries, nil where
// the answer has none.
type shownProof struct {
	proof *ensignv1.LedgerProof
	told  uint64
}

// openMemory reads what an earlier agent of this folder remembered. A file that is
// not one is set aside: nobody could say what it was worth.
func openMemory(path string, metrics *metrics, logger *slog.Logger) *ledgerMemory {
	m := &ledgerMemory{path: path, metrics: metrics, logger: logger, shown: make(chan shownProof, 16), changed: make(chan struct{})}
	text, err := readOwn(path, maxMemory)
	if err == nil {
		m.memory, m.newest, err = parseMemory(text)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		logger.Error("the agent's memory of the ledger is not usable and is set aside: until the next checkpoint a fork would not be seen",
			"file", path, "moved_to", path+".refused", "error", err)
		if err := os.Rename(path, path+".refused"); err != nil {
			logger.Error("the memory of the ledger could not be set aside", "error", err)
		}
	}
	if m.memory.Fork != "" {
		logger.Error("the ledger has forked, by an earlier agent's memory", "fork", m.memory.Fork, "file", path)
	}
	metrics.remembers(m.newest, m.memory.Fork)
	return m
}

func parseMemory(text []byte) (memory, *torchwood.Checkpoint, error) {
	var m memory
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return memory{}, nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return memory{}, nil, errors.New("there is more than one value in it")
	}
	newest, err := openNote(m.VerifierKey, m.Note)
	if err != nil {
		return memory{}, nil, err
	}
	return m, newest, nil
}

// offer hands a proof over to run.
func (m *ledgerMemory) offer(ctx context.Context, proof *ensignv1.LedgerProof, told uint64) {
	select {
	case m.shown <- shownProof{proof, told}:
	case <-ctx.Done():
	}
}

// run judges what was offered, and remembers it, until ctx ends.
func (m *ledgerMemory) run(ctx context.Context) error {
	for {
		select {
		case shown := <-m.shown:
			m.take(shown)
		case <-ctx.Done():
			return nil
		}
	}
}

// take moves the memory on. After a fork it stands still.
func (m *ledgerMemory) take(shown shownProof) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.memory.Fork != "" {
		return
	}
	next, v := judge(m.newest, m.memory.VerifierKey, shown)
	m.metrics.ledgerProofs.WithLabelValues(string(v.result)).Inc()
	switch v.result {
	case proofGrown:
		m.memory, m.newest = memory{VerifierKey: shown.proof.GetVerifierKey(), Note: shown.proof.GetNote()}, next
	case proofFork:
		m.memory.Fork = cutText(v.why + "\n" + shown.proof.GetNote())
		m.logger.Error("the ledger has forked: the control plane shows another past than before; keep its data folder and this file for an inquiry",
			"why", v.why, "note", cutText(shown.proof.GetNote()), "kept", m.memory.Note, "file", m.path)
		close(m.changed)
		m.changed = make(chan struct{})
	case proofSame, proofUnproven:
		m.logger.Debug("a checkpoint of the ledger says nothing new", "result", string(v.result), "why", v.why)
		return
	case proofInvalid:
		m.logger.Warn("a checkpoint of the ledger was not taken", "result", string(v.result), "why", v.why)
		return
	}
	m.metrics.remembers(m.newest, m.memory.Fork)
	if err := m.store(); err != nil {
		m.logger.Error("the ledger's checkpoint is not kept for the next agent", "error", err)
	}
}

func (m *ledgerMemory) store() error {
	text, err := json.MarshalIndent(m.memory, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", m.path, err)
	}
	return writeFile(m.path, append(text, '\n'))
}

// seen is the report's form, nil before the first checkpoint, and a channel that is
// closed when there is a fork.
func (m *ledgerMemory) seen() (*ensignv1.LedgerSeen, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.newest == nil {
		return nil, m.changed
	}
	return &ensignv1.LedgerSeen{Size: uint64(m.newest.N), Root: m.newest.Hash[:], Fork: m.memory.Fork}, m.changed
}
