package ledger_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
)

// straight computes a root from the entries alone, with all hashes in memory.
func straight(t testing.TB, entries [][]byte) tlog.Hash {
	t.Helper()
	var hashes []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			found[i] = hashes[index]
		}
		return found, nil
	})
	for n, data := range entries {
		more, err := tlog.StoredHashes(int64(n), data, reader)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	root, err := tlog.TreeHash(int64(len(entries)), reader)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// signed is what a checkpoint says, once its signature is checked.
func signed(t testing.TB, text, key string) torchwood.Checkpoint {
	t.Helper()
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := torchwood.VerifyCheckpoint([]byte(text), torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(origin), torchwood.SingleVerifierPolicy(verifier)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// model is a ledger and what it must hold.
type model struct {
	dir     string
	l       *ledger.Ledger
	entries map[uint64]string // serial by index
	older   []string
}

func (m *model) reopen(t *rapid.T) {
	if m.l != nil {
		if err := m.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	m.l, err = ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(m.dir, "l.db"), Origin: origin, Keys: keys{}})
	if err != nil {
		t.Fatal(err)
	}
}

// crowd appends from several goroutines, some of them with serials that are taken.
func (m *model) crowd(t *rapid.T) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := maps.Clone(m.entries)
	for n := range rapid.IntRange(1, 40).Draw(t, "callers") {
		e := svid(n)
		e.Detail = rapid.String().Draw(t, "detail")
		again := len(taken) > 0 && n%9 == 8
		if again {
			e.Serial = taken[uint64(n%len(taken))]
		}
		wg.Go(func() {
			index, err := m.l.Append(t.Context(), e)
			if again != (err != nil) {
				t.Errorf("serial %s, taken %v: %v", e.Serial, again, err)
			}
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if other, ok := m.entries[index]; ok {
				t.Errorf("index %d went to %s and to %s", index, other, e.Serial)
			}
			m.entries[index] = e.Serial
		})
	}
	wg.Wait()
}

func (m *model) check(t *rapid.T, tb testing.TB) {
	var data [][]byte
	for r, err := range m.l.Read(tb.Context(), 0, 0) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Entry()
		if err != nil || e.Serial != m.entries[r.Index] || e.Kind != ca.KindSVID {
			t.Fatalf("entry %d is %+v, want serial %s (%v)", r.Index, e, m.entries[r.Index], err)
		}
		data = append(data, r.Data)
	}
	text, key, size := m.l.Checkpoint()
	if size != uint64(len(data)) || len(data) != len(m.entries) {
		t.Fatalf("size %d, %d entries read, %d answered", size, len(data), len(m.entries))
	}
	if size == 0 {
		return
	}
	if c := signed(tb, text, key); c.N != int64(size) || c.Hash != straight(tb, data) {
		t.Fatalf("checkpoint %+v; root must be %s", c, straight(tb, data))
	}
	if _, err := verify(tb, m.l, m.older...); err != nil {
		t.Fatal(err)
	}
	m.older = append(m.older, text)
}

// TestAnyInterleaving appends in crowds, opens again, in any order: the root is
// always that of the entries, and each older checkpoint stays a prefix.
func TestAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &model{dir: t.TempDir(), entries: map[uint64]string{}}
		m.reopen(r)
		defer func() { m.l.Close() }()
		for step := range rapid.IntRange(1, 6).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"crowd", "crowd", "reopen"}).Draw(r, fmt.Sprint("step ", step)) {
			case "crowd":
				m.crowd(r)
			case "reopen":
				m.reopen(r)
			}
			m.check(r, t)
		}
	})
}
