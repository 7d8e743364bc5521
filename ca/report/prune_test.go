package report

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca/internal/sqlite/powercut"
)

// fill stores, of each of n pods, a report, two acks and two sightings: one that still
// counts, and one that is old, or of the far future.
func fill(t testing.TB, s *Store, n int) {
	t.Helper()
	const pods = `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1), pods(i, pod) AS (SELECT i, printf('web-%05d', i) FROM n) `
	now := time.Now()
	if err := s.group.Do(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		for _, one := range []struct {
			text string
			args []any
		}{
			{`INSERT INTO reports SELECT 'shop', pod, json_object('namespace', 'shop', 'pod', pod) FROM pods`, nil},
			{`INSERT INTO acks SELECT 'shop', pod, value, ?2, '{}' FROM pods, json_each('["1f", "2f"]')`, []any{now.Unix()}},
			{`INSERT INTO sightings SELECT 'shop', pod, 'now', ?2, '{}' FROM pods`, []any{now.Unix()}},
			{`INSERT INTO sightings SELECT 'shop', pod, 'then', iif(i % 4 = 1, ?2, ?3), '{}' FROM pods`, []any{now.Add(-50 * time.Hour).Unix(), now.Add(50 * time.Hour).Unix()}},
		} {
			if _, err := tx.ExecContext(ctx, pods+one.text, append([]any{n}, one.args...)...); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// left counts the rows of each table.
func left(t testing.TB, s *Store) (counts [3]int) {
	t.Helper()
	for n, table := range []string{"reports", "acks", "sightings"} {
		if err := s.db.Reader.QueryRow("SELECT count(*) FROM " + table).Scan(&counts[n]); err != nil {
			t.Fatal(err)
		}
	}
	return counts
}

// odd pods are gone.
func odd(_, pod string) bool { return strings.ContainsAny(pod[len(pod)-1:], "13579") }

func nobodyIsGone(string, string) bool { return false }

func TestWhatGonePodsLeftIsRemoved(t *testing.T) {
	c := Config{Path: filepath.Join(t.TempDir(), "reports.db")}
	s := open(t, c)
	const pods = 10_000
	fill(t, s, pods)
	if n, err := s.Prune(t.Context(), nobodyIsGone); n != 0 || err != nil {
		t.Errorf("%d rows were removed of nobody, %v", n, err)
	}
	begun := time.Now()
	if n, err := s.Prune(t.Context(), odd); n != pods/2*4 || err != nil {
		t.Errorf("%d rows removed, %v; want %d", n, err, pods/2*4)
	}
	t.Logf("%d pods of %d pruned in %s", pods/2, pods, time.Since(begun))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	if got, want := left(t, s), [3]int{pods / 2, pods, pods + pods/2}; got != want {
		t.Errorf("left over: %v, want %v", got, want)
	}
	all, err := s.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if odd(r.Namespace, r.Pod) {
			t.Fatalf("%s is there", r.Pod)
		}
	}
	if n, err := s.Prune(t.Context(), odd); n != 0 || err != nil {
		t.Errorf("%d rows the second time, %v", n, err)
	}
}

// TestWhoComesBackLosesNothing: it was gone when the store was looked through, and is
// there when its rows' turn comes.
func TestWhoComesBackLosesNothing(t *testing.T) {
	s := openFile(t)
	fill(t, s, 2)
	asked := map[string]int{}
	n, err := s.Prune(t.Context(), func(_, pod string) bool {
		asked[pod]++
		return asked[pod] == 1 || pod == "web-00001"
	})
	if n != 4 || err != nil || asked["web-00000"] != 2 {
		t.Errorf("%d rows, %v, asked %v", n, err, asked)
	}
	if _, err := s.Get(t.Context(), "shop", "web-00000"); err != nil {
		t.Error(err)
	}
}

// TestAForkThatWasSeenStays: its pod may have been removed for that.
func TestAForkThatWasSeenStays(t *testing.T) {
	s := openFile(t)
	saw, none := sample(1), sample(2)
	saw.Ledger = &LedgerSeen{Size: 3, Root: strings.Repeat("ab", 32), Fork: "note"}
	none.Ledger = &LedgerSeen{Size: 3, Root: strings.Repeat("ab", 32)}
	put(t, s, saw, none)
	if _, err := s.Prune(t.Context(), func(string, string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if all, err := s.All(t.Context()); err != nil || len(all) != 1 || all[0].Pod != saw.Pod {
		t.Errorf("%v, %v", all, err)
	}
}

// TestAPowerCutWhilePruning leaves everything of who is there, and the rest to the next time.
func TestAPowerCutWhilePruning(t *testing.T) {
	const pods = 200
	for ops := 1; ops < 60; ops += 7 {
		disk := powercut.New(t)
		c := Config{Path: "/reports.db", vfs: disk.VFS()}
		s := open(t, c)
		fill(t, s, pods)
		disk.CutAfter(ops)
		_, cut := s.Prune(t.Context(), odd)
		s.Close()
		disk.Restart(rand.New(rand.NewPCG(uint64(ops), 7)))
		s = open(t, c)
		n, err := s.Prune(t.Context(), odd)
		if err != nil || cut != nil && n == 0 {
			t.Errorf("after %d operations (%v): %d rows were left to remove, %v", ops, cut, n, err)
		}
		if got, want := left(t, s), [3]int{pods / 2, pods, pods + pods/2}; got != want {
			t.Errorf("after %d operations (%v): left over %v, want %v", ops, cut, got, want)
		}
		s.Close()
	}
}
