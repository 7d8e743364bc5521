package ledger_test

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// TestProofs: of every size from every size for which there was a checkpoint.
func TestProofs(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	var trees []tlog.Tree
	for n := range 40 {
		appendAll(t, l, svid(n))
		text, key, _ := l.Checkpoint()
		trees = append(trees, signed(t, text, key).Tree)
	}
	for _, to := range trees {
		for _, from := range trees[:to.N] {
			hashes, err := l.Proof(t.Context(), uint64(from.N), uint64(to.N))
			if err != nil || (from.N == to.N) != (len(hashes) == 0) {
				t.Fatalf("from %d to %d: %d hashes, %v", from.N, to.N, len(hashes), err)
			}
			var proof tlog.TreeProof
			for _, h := range hashes {
				proof = append(proof, tlog.Hash(h))
			}
			if err := tlog.CheckTree(proof, to.N, to.Hash, from.N, from.Hash); err != nil {
				t.Fatalf("from %d to %d: %v", from.N, to.N, err)
			}
		}
	}
	if hashes, err := l.Proof(t.Context(), 0, 40); err != nil || hashes != nil {
		t.Errorf("from nothing: %d hashes, %v", len(hashes), err)
	}
	for _, c := range [][2]uint64{{3, 41}, {5, 4}, {1 << 63, 40}, {40, 1 << 63}, {1<<64 - 1, 1<<64 - 1}} {
		if _, err := l.Proof(t.Context(), c[0], c[1]); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("from %d to %d: %v", c[0], c[1], err)
		}
	}
	// Sizes between two commits have no checkpoint.
	l.Exec(t, `DELETE FROM checkpoints WHERE size = 30`)
	if _, err := l.Proof(t.Context(), 3, 30); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a size without a checkpoint: %v", err)
	}
}

// TestADamagedStoreIsNoFork: agents would cry fork over a proof that does not hold.
func TestADamagedStoreIsNoFork(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	for n := range 40 {
		appendAll(t, l, svid(n))
	}
	l.Exec(t, `UPDATE hashes SET hash = zeroblob(32) WHERE idx = ?`, tlog.StoredHashIndex(3, 1))
	if _, err := l.Proof(t.Context(), 8, 40); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("by the damaged hash: %v", err)
	}
	if _, err := l.Proof(t.Context(), 9, 40); err != nil {
		t.Errorf("beside the damaged hash: %v", err)
	}
	l.Exec(t, `UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 38) WHERE size = 39`)
	if _, err := l.Proof(t.Context(), 2, 39); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("another size's checkpoint: %v", err)
	}
}

// TestInclusion proves entries at once after they were appended, while others are.
func TestInclusion(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	_, key, _ := l.Checkpoint()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			e := svid(0)
			index, err := l.Append(t.Context(), e)
			if err != nil {
				t.Error(err)
				return
			}
			for _, name := range []string{e.Serial, e.Certificate} {
				proof, err := l.Inclusion(t.Context(), name)
				if err != nil {
					t.Error(err)
					return
				}
				if proven, err := audit.CheckProof(key, proof); err != nil || proven.Index != index || proven.Entry.Serial != e.Serial || proven.Size <= index {
					t.Errorf("%s: %+v, %v", name, proven, err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := l.Inclusion(t.Context(), "none"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a certificate that is not there: %v", err)
	}
	victim := svid(0)
	appendAll(t, l, victim)
	l.Exec(t, `UPDATE hashes SET hash = zeroblob(32) WHERE idx = ?`, tlog.StoredHashIndex(4, 0))
	if _, err := l.Inclusion(t.Context(), victim.Serial); !errors.Is(err, ledger.ErrDamaged) {
		t.Errorf("from a damaged hash: %v", err)
	}
}
