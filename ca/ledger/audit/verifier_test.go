package audit_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

const origin = "ensign/cluster.local/ledger"

// log is a log made by the book: golang.org/x/mod's tlog and note alone.
type log struct {
	signer  note.Signer
	key     string
	entries [][]byte
}

func newLog(t testing.TB, size int) *log {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	l := &log{signer: signer, key: public}
	for n := range size {
		l.entries = append(l.entries, entry(t, n))
	}
	return l
}

func entry(t testing.TB, n int) []byte {
	t.Helper()
	now := time.Unix(1700000000, 0)
	data, err := json.Marshal(ca.Entry{Kind: ca.KindSVID, Time: now, Serial: fmt.Sprintf("%032x", n), SPIFFEID: "spiffe://cluster.local/ns/shop/sa/reviews", NotAfter: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// root of the first n entries, by the definition of RFC 6962 section 2.1.
func root(entries [][]byte) tlog.Hash {
	switch n := len(entries); n {
	case 0:
		empty, _ := tlog.TreeHash(0, nil)
		return empty
	case 1:
		return tlog.RecordHash(entries[0])
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		return tlog.NodeHash(root(entries[:k]), root(entries[k:]))
	}
}

// checkpoint of the first n entries.
func (l *log) checkpoint(t testing.TB, n int) string {
	t.Helper()
	return l.sign(t, fmt.Sprintf("%s\n%d\n%s\n", origin, n, root(l.entries[:n])))
}

func (l *log) sign(t testing.TB, text string) string {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// export is what an auditor is given.
type export struct {
	key     string
	older   []string
	indexes []uint64
	entries [][]byte
	note    string
}

func (l *log) export(t testing.TB, older ...int) *export {
	e := &export{key: l.key, note: l.checkpoint(t, len(l.entries)), entries: append([][]byte(nil), l.entries...)}
	for _, n := range older {
		e.older = append(e.older, l.checkpoint(t, n))
	}
	for n := range l.entries {
		e.indexes = append(e.indexes, uint64(n))
	}
	return e
}

func (e *export) verify() (audit.Summary, error) {
	v, err := audit.New(e.key)
	if err != nil {
		return audit.Summary{}, err
	}
	for _, o := range e.older {
		if err := v.Expect(o); err != nil {
			return audit.Summary{}, err
		}
	}
	for n, data := range e.entries {
		if err := v.Add(e.indexes[n], data); err != nil {
			return audit.Summary{}, err
		}
	}
	return v.Finish(e.note)
}

// drop takes an entry out; renumbered says whether the rest closes the gap.
func (e *export) drop(n int, renumbered bool) {
	e.entries = append(e.entries[:n:n], e.entries[n+1:]...)
	if renumbered {
		e.indexes = e.indexes[:len(e.entries)]
		return
	}
	e.indexes = append(e.indexes[:n:n], e.indexes[n+1:]...)
}

func TestAnHonestLogVerifies(t *testing.T) {
	for size := range 70 {
		l := newLog(t, size)
		e := l.export(t, 0, size/3, size/2, size)
		summary, err := e.verify()
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		want := root(l.entries)
		if summary.Entries != uint64(size) || summary.Root != want.String() || *summary.ConsistentWith != uint64(size) || summary.ByKind["svid"] != uint64(size) {
			t.Errorf("size %d: %+v", size, summary)
		}
	}
	if s, err := newLog(t, 5).export(t).verify(); err != nil || s.ConsistentWith != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestEveryForgeryIsNamed: index is where the problem must point, -1: to the whole.
func TestEveryForgeryIsNamed(t *testing.T) {
	other := newLog(t, 10)
	for name, c := range map[string]struct {
		do    func(t *testing.T, l *log, e *export)
		index int64
		want  string
	}{
		"changed byte": {func(_ *testing.T, _ *log, e *export) { e.entries[17] = swap(e.entries[17], "reviews", "reviewz") }, -1, "entries 0 to 39"},
		"changed behind an older": {func(t *testing.T, l *log, e *export) {
			e.older = append(e.older, l.checkpoint(t, 12))
			e.entries[17] = swap(e.entries[17], "reviews", "reviewz")
		}, -1, "entries 12 to 39"},
		"changed before an older": {func(t *testing.T, l *log, e *export) {
			e.older = append(e.older, l.checkpoint(t, 20))
			e.entries[17] = swap(e.entries[17], "reviews", "reviewz")
		}, -1, "its first 20 entries"},
		"dropped":             {func(_ *testing.T, _ *log, e *export) { e.drop(17, false) }, 17, "missing"},
		"dropped, renumbered": {func(_ *testing.T, _ *log, e *export) { e.drop(17, true) }, -1, "of the entries 0 to 39, 1 missing"},
		"last dropped":        {func(_ *testing.T, _ *log, e *export) { e.drop(39, false) }, -1, "of the entries 0 to 39,"},
		"all dropped":         {func(_ *testing.T, _ *log, e *export) { e.entries = nil }, -1, "of the entries 0 to 39,"},
		"added": {func(t *testing.T, _ *log, e *export) {
			e.entries, e.indexes = append(e.entries, entry(t, 99)), append(e.indexes, 40)
		}, -1, "1 added"},
		"twice":               {func(_ *testing.T, _ *log, e *export) { e.indexes[18] = 17 }, 17, "comes again"},
		"swapped, renumbered": {func(_ *testing.T, _ *log, e *export) { e.entries[3], e.entries[4] = e.entries[4], e.entries[3] }, -1, "changed, dropped or moved"},
		"swapped":             {func(_ *testing.T, _ *log, e *export) { e.indexes[3], e.indexes[4] = 4, 3 }, 3, "missing"},
		"serial twice":        {func(_ *testing.T, _ *log, e *export) { e.entries[9] = e.entries[2] }, 9, "in entry 2"},
		"no entry":            {func(_ *testing.T, _ *log, e *export) { e.entries[9] = []byte("{") }, 9, "no ledger entry"},
		"large":               {func(_ *testing.T, _ *log, e *export) { e.entries[9] = make([]byte, 1<<16) }, 9, "65536 bytes"},
		"index of 64 bits":    {func(_ *testing.T, _ *log, e *export) { e.indexes[9] = 1<<64 - 1 }, 9, "missing"},
		"rolled back": {func(t *testing.T, l *log, e *export) {
			e.older, e.note, e.entries = []string{e.note}, l.checkpoint(t, 30), e.entries[:30]
		}, -1, "rolled back"},
		"rolled back to nothing": {func(_ *testing.T, _ *log, e *export) { e.older, e.note, e.entries = []string{e.note}, "", nil }, -1, "rolled back"},
		"older of another log":   {func(t *testing.T, _ *log, e *export) { e.older = []string{other.checkpoint(t, 5)} }, -1, "not signed"},
		"signature of another": {func(t *testing.T, l *log, e *export) {
			e.note = other.sign(t, origin+"\n40\n"+root(l.entries).String()+"\n")
		}, -1, "not signed"},
		"signature changed": {func(_ *testing.T, _ *log, e *export) {
			e.note = e.note[:len(e.note)-9] + "AAAA" + e.note[len(e.note)-5:]
		}, -1, "not signed"},
		"no signature":  {func(_ *testing.T, _ *log, e *export) { e.note = e.note[:strings.Index(e.note, "\n\n")+1] }, -1, "not signed"},
		"no checkpoint": {func(_ *testing.T, _ *log, e *export) { e.note = "" }, -1, "not signed"},
		"another log's name": {func(t *testing.T, l *log, e *export) {
			e.note = l.sign(t, "ensign/evil.example/ledger\n40\n"+root(l.entries).String()+"\n")
		}, -1, "evil.example"},
		"signed, not a tree head": {func(t *testing.T, l *log, e *export) { e.note = l.sign(t, "pay 100\n") }, -1, "does not parse"},
		"empty tree's root": {func(t *testing.T, l *log, e *export) {
			e.older = []string{l.sign(t, origin+"\n0\n"+root(l.entries).String()+"\n")}
		}, -1, "its first 0 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog(t, 40)
			e := l.export(t)
			c.do(t, l, e)
			_, err := e.verify()
			var problem *audit.Problem
			if !errors.As(err, &problem) || problem.Index != c.index || !strings.Contains(problem.Error(), c.want) {
				t.Errorf("found %v; want %q at %d", err, c.want, c.index)
			}
		})
	}
}

func swap(data []byte, from, to string) []byte {
	return []byte(strings.Replace(string(data), from, to, 1))
}

func TestRootsMayComeTwice(t *testing.T) {
	l := newLog(t, 1)
	data, err := json.Marshal(ca.Entry{Kind: ca.KindRoot, Serial: "ab"})
	if err != nil {
		t.Fatal(err)
	}
	l.entries = append(l.entries, data, data)
	if s, err := l.export(t).verify(); err != nil || s.ByKind["root"] != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestABadKeyIsRefused(t *testing.T) {
	short, err := note.NewEd25519VerifierKey(origin, make(ed25519.PublicKey, ed25519.PublicKeySize))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "x", short[:len(short)-4], origin + "+00000000+AAAA"} {
		if _, err := audit.New(key); err == nil {
			t.Errorf("took the key %q", key)
		}
	}
}

// TestAnyChangeIsFound changes a log at random: one byte, a drop, a swap, a copy.
func TestAnyChangeIsFound(t *testing.T) {
	l := newLog(t, 33)
	rapid.Check(t, func(r *rapid.T) {
		e := l.export(t)
		n := rapid.IntRange(0, len(e.entries)-1).Draw(r, "entry")
		m := rapid.IntRange(0, len(e.entries)-1).Draw(r, "other")
		switch rapid.SampledFrom([]string{"byte", "drop", "swap", "copy"}).Draw(r, "change") {
		case "byte":
			e.entries[n] = append([]byte(nil), e.entries[n]...)
			e.entries[n][rapid.IntRange(0, len(e.entries[n])-1).Draw(r, "at")] ^= byte(rapid.IntRange(1, 255).Draw(r, "bits"))
		case "drop":
			e.drop(n, rapid.Bool().Draw(r, "renumbered"))
		case "swap":
			if n == m {
				return
			}
			e.entries[n], e.entries[m] = e.entries[m], e.entries[n]
		case "copy":
			if n == m {
				return
			}
			e.entries[n] = e.entries[m]
		}
		if _, err := e.verify(); err == nil {
			r.Fatal("a changed log verified")
		}
	})
}

// FuzzVerifier takes an export from whoever made it: it must never panic, and
// accept nothing but the log's own bytes.
func FuzzVerifier(f *testing.F) {
	l := newLog(f, 3)
	good := l.export(f)
	f.Add(uint64(2), good.entries[2], good.note, l.checkpoint(f, 2))
	f.Add(uint64(2), []byte(`{"kind":1}`), "", "")
	f.Add(uint64(1<<63), []byte(`{"time":"x"}`), good.note+"\n— x AAAA\n", good.note)
	f.Fuzz(func(t *testing.T, index uint64, data []byte, text, older string) {
		e := l.export(t)
		e.indexes[2], e.entries[2], e.note = index, data, text
		if older != "" {
			e.older = []string{older}
		}
		_, err := e.verify()
		if err == nil && (index != 2 || string(data) != string(good.entries[2])) {
			t.Errorf("verified with entry %d %q, note %q", index, data, text)
		}
		var problem *audit.Problem
		if err != nil && !errors.As(err, &problem) {
			t.Errorf("an error without a problem: %v", err)
		}
	})
}

// BenchmarkVerify shows the price of an entry.
func BenchmarkVerify(b *testing.B) {
	l := newLog(b, 1)
	v, err := audit.New(l.key)
	if err != nil {
		b.Fatal(err)
	}
	var entries [][]byte
	for n := range b.N {
		entries = append(entries, entry(b, n))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n, data := range entries {
		if err := v.Add(uint64(n), data); err != nil {
			b.Fatal(err)
		}
	}
}
