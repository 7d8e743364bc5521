package ledger_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// history has three accounts with ten SVIDs each, an hour apart, living two
// hours, among issuers and acts.
func history(t *testing.T) *ledger.Ledger {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	for n := range 30 {
		e := svid(n)
		e.Time = start.Add(time.Duration(n/3) * time.Hour)
		e.Serial, e.Certificate = fmt.Sprintf("%032x", n), fmt.Sprintf("%064x", n+100)
		e.NotBefore, e.NotAfter = e.Time, e.Time.Add(2*time.Hour)
		appendAll(t, l, e)
	}
	appendAll(t, l,
		ca.Entry{Kind: ca.KindIssuer, Time: start.Add(20 * time.Hour), Serial: "abc", SPIFFEID: "spiffe://cluster.local", NotAfter: start.AddDate(1, 0, 0)},
		ca.Entry{Kind: ca.KindAdmin, Time: start.Add(21 * time.Hour), Actor: "uid:0", Verb: "create", Object: "token"},
	)
	return l
}

func serials(t *testing.T, found []ledger.Record, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, r := range found {
		e, err := r.Entry()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%d:%s", r.Index, strings.TrimLeft(e.Serial, "0")))
	}
	return strings.Join(list, " ")
}

func TestRoots(t *testing.T) {
	l := history(t)
	if roots, err := l.Roots(t.Context()); err != nil || len(roots) != 0 {
		t.Errorf("roots %+v, %v, there is none", roots, err)
	}
	for n, certificate := range []string{"aa", "bb"} {
		appendAll(t, l, ca.Entry{Kind: ca.KindRoot, Time: start.Add(time.Duration(n) * time.Hour), Certificate: certificate, Serial: "1", NotAfter: start.AddDate(10, 0, 0)})
	}
	roots, err := l.Roots(t.Context())
	if err != nil || len(roots) != 2 || roots[0].Certificate != "aa" || roots[1].Certificate != "bb" {
		t.Errorf("roots %+v, %v", roots, err)
	}
}

func TestLive(t *testing.T) {
	l := history(t)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{10*time.Hour + 30*time.Minute, "27:1b 28:1c 29:1d"},
		{10 * time.Hour, "24:18 27:1b 25:19 28:1c 26:1a 29:1d"}, // alive in its last second
		{11*time.Hour + time.Second, ""},
	} {
		found, err := l.Live(t.Context(), start.Add(c.after))
		if got := serials(t, found, err); got != c.want {
			t.Errorf("after %s: %s, want %s", c.after, got, c.want)
		}
	}
}

func TestTallies(t *testing.T) {
	found, err := history(t).Tallies(t.Context(), start.Add(10*time.Hour))
	if err != nil || len(found) != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	for i, got := range found {
		want := ledger.Tally{SPIFFEID: fmt.Sprintf("spiffe://cluster.local/ns/shop/sa/a%d", i), Live: 2, LastIssued: start.Add(9 * time.Hour), LastExpires: start.Add(11 * time.Hour)}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestLookup(t *testing.T) {
	l := history(t)
	for asked, want := range map[string]uint64{fmt.Sprintf("%032x", 5): 5, fmt.Sprintf("%064x", 105): 5, "abc": 30} {
		if r, err := l.Lookup(t.Context(), asked); err != nil || r.Index != want {
			t.Errorf("%s: entry %d, %v; want %d", asked, r.Index, err, want)
		}
	}
	for _, asked := range []string{"", "5", "' OR 1=1 --"} {
		if _, err := l.Lookup(t.Context(), asked); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("%q: %v", asked, err)
		}
	}
	if e, err := l.BySerial(t.Context(), "abc"); err != nil || e.Kind != ca.KindIssuer {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := l.BySerial(t.Context(), fmt.Sprintf("%064x", 105)); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a fingerprint taken for a serial: %v", err)
	}
}

func TestFind(t *testing.T) {
	l := history(t)
	for _, c := range []struct {
		query ledger.Query
		want  string
	}{
		{ledger.Query{Limit: 3}, "29:1d 30:abc 31:"},
		{ledger.Query{Kind: ca.KindSVID, Limit: 2}, "28:1c 29:1d"},
		{ledger.Query{SPIFFEID: "spiffe://cluster.local/ns/shop/sa/a1", Limit: 2}, "25:19 28:1c"},
		{ledger.Query{SPIFFEID: "spiffe://cluster.local", Kind: ca.KindIssuer, Limit: 9}, "30:abc"},
		{ledger.Query{SPIFFEID: "spiffe://cluster.local", Kind: ca.KindSVID, Limit: 9}, ""},
		{ledger.Query{Since: start.Add(20 * time.Hour), Limit: 9}, "30:abc 31:"},
		{ledger.Query{Kind: ca.KindSVID, Since: start.Add(20 * time.Hour), Limit: 9}, ""},
		{ledger.Query{SPIFFEID: "spiffe://cluster.local/ns/shop/sa/a1", Since: start.Add(8 * time.Hour), Limit: 9}, "25:19 28:1c"},
		{ledger.Query{}, "31:"},
	} {
		found, err := l.Find(t.Context(), c.query)
		if got := serials(t, found, err); got != c.want {
			t.Errorf("%+v: %s, want %s", c.query, got, c.want)
		}
	}
}

// TestNoQuestionScans holds each question to its index.
func TestNoQuestionScans(t *testing.T) {
	l := history(t)
	for query, args := range ledger.Queries {
		searches := 0
		for _, step := range l.Plan(t, query, args...) {
			if strings.Contains(step, "SCAN entries") {
				t.Errorf("%s\n%s", query, step)
			}
			if strings.Contains(step, "SEARCH entries USING") {
				searches++
			}
		}
		if searches == 0 {
			t.Errorf("%s\nsearches nothing", query)
		}
	}
}

func TestRead(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	for n := range 2050 / 50 {
		done := make(chan error, 50)
		for i := range 50 {
			go func() { _, err := l.Append(t.Context(), svid(n*50+i)); done <- err }()
		}
		for range 50 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct{ from, limit, first, count uint64 }{
		{0, 0, 0, 2050}, {0, 1000, 0, 1000}, {0, 1001, 0, 1001}, {1049, 1001, 1049, 1001}, {2049, 9, 2049, 1}, {2050, 0, 0, 0}, {1 << 63, 5, 0, 0}, {3, 1 << 63, 3, 2047},
	} {
		next, count := c.first, uint64(0)
		for r, err := range l.Read(t.Context(), c.from, c.limit) {
			if err != nil || r.Index != next {
				t.Fatalf("%+v: entry %d, %v", c, r.Index, err)
			}
			next, count = next+1, count+1
		}
		if count != c.count {
			t.Errorf("%+v: %d entries", c, count)
		}
	}
}

func TestEnding(t *testing.T) {
	l := history(t)
	end := start.Add(5 * time.Hour) // of the three that were issued two hours before
	id := svid(0).SPIFFEID
	found, err := l.Ending(t.Context(), id, end.Add(300*time.Millisecond))
	if got := serials(t, found, err); got != "9:9" {
		t.Errorf("got %q", got)
	}
	for name, c := range map[string]struct {
		id  string
		end time.Time
	}{
		"a second later": {id, end.Add(time.Second)}, "of nobody": {id + "x", end}, "an hour that never was": {id, time.Time{}},
	} {
		found, err := l.Ending(t.Context(), c.id, c.end)
		if got := serials(t, found, err); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
