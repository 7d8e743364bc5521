package ledger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/sqlite/powercut"
	"github.com/ensign-mesh/ensign/ca/ledger"
)

// errLost is what the durability tests look for.
var errLost = errors.New("an answered entry is lost")

func openOn(t testing.TB, disk *powercut.Disk) (*ledger.Ledger, error) {
	return ledger.OpenOn(t.Context(), ledger.Config{Path: "/ledger.db", Origin: origin, Keys: keys{}}, disk.VFS())
}

// answered are the entries that callers got an answer for.
type answered struct {
	mu      sync.Mutex
	entries map[uint64]ca.Entry
}

// appendUntilDead has callers append at the same time until each is refused.
func (a *answered) appendUntilDead(t testing.TB, l *ledger.Ledger, callers int) {
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := range 500 {
				e := svid(n)
				index, err := l.Append(t.Context(), e)
				if err != nil {
					return
				}
				a.mu.Lock()
				a.entries[index] = e
				a.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// check holds a ledger against what was answered.
func (a *answered) check(t testing.TB, l *ledger.Ledger) error {
	for index, e := range a.entries {
		r, err := l.Lookup(t.Context(), e.Serial)
		if errors.Is(err, ledger.ErrNotFound) {
			return fmt.Errorf("%w: entry %d, serial %s", errLost, index, e.Serial)
		}
		if err != nil || r.Index != index {
			return fmt.Errorf("entry %d is now %d: %w", index, r.Index, err)
		}
	}
	_, err := verify(t, l)
	return err
}

// crash cuts the power after a number of writes and syncs, from the making of
// the file on, and holds what the next start finds against what was answered.
func crash(t *testing.T, ops int, pragmas ...string) (entries int, err error) {
	disk, a := powercut.New(t), answered{entries: map[uint64]ca.Entry{}}
	disk.CutAfter(ops)
	if l, err := openOn(t, disk); err == nil {
		for _, pragma := range pragmas {
			l.Exec(t, pragma)
		}
		a.appendUntilDead(t, l, 3)
		l.Close()
	}
	disk.Restart(rand.New(rand.NewPCG(uint64(ops), 7)))
	l, err := openOn(t, disk)
	if err != nil {
		return len(a.entries), fmt.Errorf("opening again: %w", err)
	}
	defer l.Close()
	return len(a.entries), a.check(t, l)
}

// checkpointOften moves the write-ahead log into the file every few commits,
// so that the power also goes in the midst of that.
const checkpointOften = "PRAGMA wal_autocheckpoint=6"

// cuts are the moments at which the power goes: densely at first, where the
// file and its tables are made.
func cuts(t *testing.T, cut func(ops int)) {
	step := 7
	if testing.Short() {
		step = 60
	}
	for ops := 0; ops < 60; ops += 2 {
		cut(ops)
	}
	for ops := 60; ops < 1400; ops += step {
		cut(ops)
	}
}

// TestAPowerCutLosesNothingAnswered is the promise.
func TestAPowerCutLosesNothingAnswered(t *testing.T) {
	total := 0
	cuts(t, func(ops int) {
		n, err := crash(t, ops, checkpointOften)
		if err != nil {
			t.Errorf("power cut after %d operations, %d entries answered: %v", ops, n, err)
		}
		total += n
	})
	if total < 200 {
		t.Errorf("only %d entries were answered in all: the test saw too little", total)
	}
}

// TestWithoutSyncingEntriesAreLost proves that the test above can fail: it is
// the same, with syncing turned off.
func TestWithoutSyncingEntriesAreLost(t *testing.T) {
	lost := 0
	cuts(t, func(ops int) {
		if _, err := crash(t, ops, checkpointOften, "PRAGMA synchronous=OFF"); errors.Is(err, errLost) {
			lost++
		}
	})
	if lost == 0 {
		t.Error("syncing is off, and no power cut lost an answered entry")
	}
	t.Logf("%d power cuts lost answered entries", lost)
}

// TestWritingThatFailsIsRefusedAndHeals fills the disk and breaks its syncs:
// all callers are refused, the ledger says so, and goes on by itself.
func TestWritingThatFailsIsRefusedAndHeals(t *testing.T) {
	for name, fail := range map[string]func(*powercut.Disk, bool){
		"full disk": (*powercut.Disk).FailWrites, "broken syncs": (*powercut.Disk).FailSyncs,
	} {
		t.Run(name, func(t *testing.T) {
			disk, a := powercut.New(t), answered{entries: map[uint64]ca.Entry{}}
			l, err := openOn(t, disk)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			appendAll(t, l, svid(0), svid(1))
			fail(disk, true)
			a.appendUntilDead(t, l, 5)
			if len(a.entries) != 0 || l.Healthy() == nil {
				t.Fatalf("%d entries answered, healthy %v", len(a.entries), l.Healthy())
			}
			if told := l.Healthy().Error(); !strings.Contains(told, "what ails the disk") || !strings.Contains(told, "goes on by itself") {
				t.Errorf("nobody hears what to do: %s", told)
			}
			fail(disk, false)
			for deadline := time.Now().Add(10 * time.Second); l.Healthy() != nil; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("not healed: %v", l.Healthy())
				}
			}
			if index, err := l.Append(t.Context(), svid(2)); err != nil || index < 2 {
				t.Errorf("index %d, %v", index, err)
			}
			if _, err := verify(t, l); err != nil {
				t.Error(err)
			}
		})
	}
}
