package ledger_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// keys is a key store that always holds the same key, for tests that open a
// ledger in several processes.
type keys struct{ seed [ed25519.SeedSize]byte }

func (k keys) EnsureKey(string, func() (crypto.Signer, error)) (crypto.Signer, error) {
	return ed25519.NewKeyFromSeed(k.seed[:]), nil
}

const origin = "ensign/cluster.local/ledger"

func open(t testing.TB, path string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), ledger.Config{Path: path, Origin: origin, Keys: keys{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// svid is the n-th certificate of one of three accounts, with a random serial.
func svid(n int) ca.Entry {
	var serial [16]byte
	rand.Read(serial[:])
	now := time.Now()
	return ca.Entry{
		Kind: ca.KindSVID, Time: now, Serial: hex.EncodeToString(serial[:]), Certificate: strings.Repeat(hex.EncodeToString(serial[:]), 2),
		SPIFFEID:  fmt.Sprintf("spiffe://cluster.local/ns/shop/sa/a%d", n%3),
		NotBefore: now, NotAfter: now.Add(time.Hour),
	}
}

func appendAll(t testing.TB, l *ledger.Ledger, entries ...ca.Entry) {
	t.Helper()
	for _, e := range entries {
		if _, err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// verify feeds a whole ledger to the auditor.
func verify(t testing.TB, l *ledger.Ledger, older ...string) (audit.Summary, error) {
	note, key, size := l.Checkpoint()
	v, err := audit.New(key)
	if err != nil {
		return audit.Summary{}, err
	}
	for _, o := range older {
		if err := v.Expect(o); err != nil {
			return audit.Summary{}, err
		}
	}
	left := size
	for record, err := range l.Read(t.Context(), 0, 0) {
		if err != nil {
			return audit.Summary{}, err
		}
		if left == 0 {
			break
		}
		if err := v.Add(record.Index, record.Data); err != nil {
			return audit.Summary{}, err
		}
		left--
	}
	return v.Finish(note)
}

func TestWhatIsAppendedVerifiesAndSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	older := ""
	for n := range 300 {
		index, err := l.Append(t.Context(), svid(n))
		if err != nil || index != uint64(n) {
			t.Fatalf("append %d: index %d, %v", n, index, err)
		}
		if n == 100 {
			older, _, _ = l.Checkpoint()
		}
		if n == 200 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = open(t, path)
		}
	}
	summary, err := verify(t, l, older)
	if err != nil {
		t.Fatal(err)
	}
	if kept := l.EdgeSize(); kept > 9 {
		t.Errorf("the writer keeps %d hashes of a tree of 300", kept)
	}
	if summary.Entries != 300 || *summary.ConsistentWith != 101 || summary.ByKind["svid"] != 300 {
		t.Errorf("%+v", summary)
	}
}

func TestAnEmptyLedgerVerifies(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	if _, err := verify(t, l); err != nil {
		t.Error(err)
	}
}

// TestCallersShareCommits has one bad entry in the crowd: only its caller is refused.
func TestCallersShareCommits(t *testing.T) {
	reg := prometheus.NewRegistry()
	l, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(t.TempDir(), "l.db"), Origin: origin, Keys: keys{}, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const callers = 200
	twice := svid(0)
	var wg sync.WaitGroup
	errs := make([]error, callers)
	indexes := make([]uint64, callers)
	for n := range callers {
		e := svid(n)
		if n%100 == 7 {
			e = twice
		}
		wg.Go(func() { indexes[n], errs[n] = l.Append(t.Context(), e) })
	}
	wg.Wait()
	seen, refused := map[uint64]bool{}, 0
	for n, err := range errs {
		switch {
		case errors.Is(err, ledger.ErrSerial):
			refused++
		case err != nil || seen[indexes[n]]:
			t.Errorf("caller %d: index %d, %v", n, indexes[n], err)
		default:
			seen[indexes[n]] = true
		}
	}
	if refused != 1 || l.Healthy() != nil {
		t.Errorf("%d refused, healthy %v", refused, l.Healthy())
	}
	if _, err := verify(t, l); err != nil {
		t.Error(err)
	}
	checkMetrics(t, reg, callers-1)
}

func checkMetrics(t *testing.T, reg *prometheus.Registry, entries float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	commits := got["ensign_ledger_commits_total"]
	if got["ensign_ledger_entries_total"] != entries || commits < 1 || commits > entries/2 || got["ensign_ledger_commit_seconds"] != commits {
		t.Errorf("metrics %v", got)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

func TestBadEntriesAreRefused(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	twice := svid(0)
	appendAll(t, l, twice)
	asIssuer := ca.Entry{Kind: ca.KindIssuer, Time: time.Now(), Serial: twice.Serial}
	noEnd, noID, noSerial, noKind, large := svid(1), svid(2), svid(3), svid(4), svid(5)
	noEnd.NotAfter, noID.SPIFFEID, noSerial.Serial, noKind.Kind = time.Time{}, "", "", ""
	large.Detail = strings.Repeat("x", ledger.MaxEntry)
	for name, c := range map[string]struct {
		entry ca.Entry
		want  error
	}{
		"serial twice":           {twice, ledger.ErrSerial},
		"serial of another kind": {asIssuer, ledger.ErrSerial},
		"no end":                 {noEnd, ledger.ErrIncomplete},
		"no identity":            {noID, ledger.ErrIncomplete},
		"no serial":              {noSerial, ledger.ErrIncomplete},
		"no kind":                {noKind, ledger.ErrIncomplete},
		"too large":              {large, ledger.ErrTooLarge},
	} {
		if _, err := l.Append(t.Context(), c.entry); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	root := ca.Entry{Kind: ca.KindRoot, Time: time.Now(), Serial: "ab"}
	appendAll(t, l, root, root, ca.Entry{Kind: ca.KindAdmin, Actor: "uid:0"}, ca.Entry{Kind: ca.KindAdmin, Actor: "uid:0"})
	if summary, err := verify(t, l); err != nil || summary.Entries != 5 || l.Healthy() != nil {
		t.Errorf("%+v, %v, healthy %v", summary, err, l.Healthy())
	}
}

func TestAppendAfterCloseIsRefused(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), svid(0)); err == nil {
		t.Error("a closed ledger took an entry")
	}
}
