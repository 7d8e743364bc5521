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

// renewed is an SVID of serial, proven by another one ("": by a token).
func renewed(serial, from string) ca.Entry {
	e := svid(0)
	e.Time, e.NotAfter = start, start.Add(2*time.Hour)
	e.Serial, e.Certificate, e.ProofSerial = serial, strings.Repeat("0", 60)+fmt.Sprintf("%4s", serial), from
	return e
}

func indexes(t *testing.T, found []ca.Recorded, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, r := range found {
		list = append(list, fmt.Sprintf("%d:%s", r.Index, r.Entry.Serial))
	}
	return strings.Join(list, " ")
}

func TestRenewals(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	appendAll(t, l,
		renewed("aa", ""), renewed("bb", ""), renewed("a1", "aa"), renewed("b1", "bb"), renewed("a2", "aa"), renewed("a3", "a1"), renewed("a4", "a3"),
		// No program of ours writes these: a circle, and a renewal of itself.
		renewed("c1", "c2"), renewed("c2", "c1"), renewed("dd", "dd"),
		ca.Entry{Kind: ca.KindAdmin, Time: start, ProofSerial: "aa"},
	)
	for serial, want := range map[string]string{
		"aa": "2:a1 4:a2 5:a3 6:a4", "a1": "5:a3 6:a4", "bb": "3:b1", "a4": "", "unknown": "", "": "", "c1": "8:c2", "dd": "", "' OR 1=1 --": "",
	} {
		found, err := l.Renewals(t.Context(), serial)
		if got := indexes(t, found, err); got != want {
			t.Errorf("%q: %s, want %s", serial, got, want)
		}
	}
}

func TestRevocationsAndIssuers(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	if found, err := l.Revocations(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
	issuer := func(serial string, hours time.Duration) ca.Entry {
		return ca.Entry{Kind: ca.KindIssuer, Time: start, Serial: serial, NotAfter: start.Add(hours * time.Hour)}
	}
	// The clock went back between the acts: their order is that of the log.
	act := ca.Entry{Kind: ca.KindRevocation, Time: start, Actor: "uid:0", Verb: "revoke", Object: "serial:aa"}
	back := act
	back.Time, back.Verb = start.Add(-time.Hour), "release"
	appendAll(t, l, issuer("10", 1), act, renewed("aa", ""), issuer("11", 5), back)
	found, err := l.Revocations(t.Context())
	if err != nil || len(found) != 2 || found[0].Index != 1 || found[1].Index != 4 || found[0].Entry != act || found[1].Entry != back {
		t.Errorf("%+v, %v", found, err)
	}
	for after, want := range map[time.Duration]string{0: "0:10 3:11", 1: "0:10 3:11", 2: "3:11", 6: ""} {
		found, err := l.LiveIssuers(t.Context(), start.Add(after*time.Hour))
		if got := indexes(t, found, err); got != want {
			t.Errorf("after %d hours: %s, want %s", after, got, want)
		}
	}
	live, err := l.LiveSVIDs(t.Context(), start.Add(time.Hour))
	if got := indexes(t, live, err); got != "2:aa" {
		t.Errorf("live: %s", got)
	}
}

func TestCountSince(t *testing.T) {
	l := history(t)
	const id = "spiffe://cluster.local/ns/shop/sa/a1"
	for after, want := range map[time.Duration]int{0: 10, 4 * time.Hour: 6, 9*time.Hour + time.Second: 0} {
		if got, err := l.CountSince(t.Context(), id, start.Add(after)); err != nil || got != want {
			t.Errorf("since %s: %d, %v; want %d", after, got, err, want)
		}
	}
	if got, err := l.CountSince(t.Context(), "spiffe://cluster.local", start); err != nil || got != 0 {
		t.Errorf("an issuer counted as an SVID: %d, %v", got, err)
	}
}

// TestNoGateDecidesByAChangedEntry changes an act in the file.
func TestNoGateDecidesByAChangedEntry(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	appendAll(t, l, renewed("aa", ""), renewed("a1", "aa"), ca.Entry{Kind: ca.KindRevocation, Time: start, Actor: "uid:0", Verb: "revoke", Object: "serial:aa"})
	l.Exec(t, `UPDATE entries SET data = replace(data, 'serial:aa', 'serial:bb') WHERE idx = 2`)
	if _, err := l.Revocations(t.Context()); !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), "entry 2 ") {
		t.Errorf("a changed act: %v", err)
	}
	l.Exec(t, `UPDATE entries SET data = replace(data, 'sa/a0', 'sa/xx') WHERE idx = 1`)
	if _, err := l.Renewals(t.Context(), "aa"); !errors.Is(err, ledger.ErrDamaged) || !strings.Contains(err.Error(), "entry 1 ") {
		t.Errorf("a changed renewal: %v", err)
	}
}

// TestAnOldStoreGetsItsIndexes opens one that was made before the newest index.
func TestAnOldStoreGetsItsIndexes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	appendAll(t, l, renewed("aa", ""), renewed("a1", "aa"))
	l.Exec(t, `DROP INDEX entries_proof_serial`)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := open(t, path).Renewals(t.Context(), "aa")
	if got := indexes(t, found, err); got != "1:a1" {
		t.Errorf("renewals %s", got)
	}
}

// TestLiveSVIDsAreNotInTheLogsOrder: they come by SPIFFE ID. Here the last lies as far
// behind the first as if they followed one another, and one lies behind both.
func TestLiveSVIDsAreNotInTheLogsOrder(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	of := func(serial, account string) ca.Entry {
		e := renewed(serial, "")
		e.SPIFFEID = "spiffe://cluster.local/ns/shop/sa/" + account
		return e
	}
	appendAll(t, l, of("a0", "a"), ca.Entry{Kind: ca.KindAdmin, Time: start}, of("b0", "b"), of("c0", "c"), of("a1", "a"))
	found, err := l.LiveSVIDs(t.Context(), start)
	if got := indexes(t, found, err); got != "0:a0 4:a1 2:b0 3:c0" {
		t.Errorf("got %s", got)
	}
}
