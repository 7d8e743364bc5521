package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// file is an export as lines, made by hand. A checkpoint stands behind every tenth entry.
type file []string

const every = 10

func (l *log) file(t testing.TB) file {
	f := file{fmt.Sprintf(`{"format":"ensign-ledger/1","origin":%q,"verifier_key":%q}`, origin, l.key)}
	for n, data := range l.entries {
		if n > 0 && n%every == 0 {
			f = append(f, jsonLine(t, "so_far", l.checkpoint(t, n)))
		}
		f = append(f, string(data))
	}
	return append(f, jsonLine(t, "checkpoint", l.checkpoint(t, len(l.entries))))
}

func jsonLine(t testing.TB, key, value string) string {
	t.Helper()
	data, err := json.Marshal(map[string]string{key: value})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// at is where an entry stands in a file.
func at(n int) int { return 1 + n + n/every }

func (f file) String() string { return strings.Join(f, "\n") + "\n" }

func verifyFile(t testing.TB, text string, o audit.Options) (audit.Result, error) {
	return audit.VerifyFile(t.Context(), strings.NewReader(text), o)
}

func TestAnHonestFileVerifies(t *testing.T) {
	for size := range 45 {
		l := newLog(t, size)
		text := l.file(t).String()
		var last audit.Progress
		lines := 0
		r, err := verifyFile(t, text, audit.Options{
			Key: l.key, Older: []string{l.checkpoint(t, size/2)},
			Progress: func(p audit.Progress) { last = p },
			Take:     func(audit.Line) error { lines++; return nil },
		})
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if r.Entries != uint64(size) || *r.ConsistentWith != uint64(size/2) || r.Header.VerifierKey != l.key || r.Checkpoint != l.checkpoint(t, size) {
			t.Errorf("size %d: %+v", size, r)
		}
		if last.Entries != uint64(size) || last.Bytes != uint64(len(text)) || lines != strings.Count(text, "\n")-1 {
			t.Errorf("size %d: %+v of %d bytes, %d lines", size, last, len(text), lines)
		}
	}
	l := newLog(t, 12)
	r, err := verifyFile(t, l.file(t).String(), audit.Options{})
	if err != nil || r.ConsistentWith != nil {
		t.Errorf("without an older checkpoint: %+v, %v", r, err)
	}
	empty := fmt.Sprintf(`{"format":"ensign-ledger/1","origin":%q,"verifier_key":%q}`+"\n"+`{"checkpoint":""}`+"\n", origin, l.key)
	if r, err := verifyFile(t, empty, audit.Options{}); err != nil || r.Entries != 0 {
		t.Errorf("an empty log: %+v, %v", r, err)
	}
}

// TestEveryFaultOfAFileIsNamed: the five of the record itself, first.
func TestEveryFaultOfAFileIsNamed(t *testing.T) {
	l, other := newLog(t, 40), newLog(t, 40)
	for name, c := range map[string]struct {
		do    func(f file) file
		index int64
		want  string
	}{
		"changed byte":     {func(f file) file { f[at(17)] = string(swap([]byte(f[at(17)]), "reviews", "reviewz")); return f }, -1, "entries 10 to 19 was changed"},
		"dropped entry":    {func(f file) file { return slices.Delete(f, at(17), at(17)+1) }, -1, "of the entries 10 to 19, 1 missing"},
		"dropped first":    {func(f file) file { return slices.Delete(f, 1, 2) }, -1, "of the entries 0 to 9, 1 missing"},
		"dropped last":     {func(f file) file { return slices.Delete(f, at(39), at(39)+1) }, -1, "of the entries 30 to 39, 1 missing"},
		"added entry":      {func(f file) file { return slices.Insert(f, at(17), string(entry(t, 99))) }, -1, "of the entries 10 to 20, 1 added"},
		"added again":      {func(f file) file { return slices.Insert(f, at(17), f[at(3)]) }, 17, "issued before, in entry 3"},
		"added last":       {func(f file) file { return slices.Insert(f, at(39)+1, string(entry(t, 99))) }, -1, "of the entries 40 to 40, 1 added"},
		"reordered":        {func(f file) file { f[at(13)], f[at(14)] = f[at(14)], f[at(13)]; return f }, -1, "entries 10 to 19 was changed, dropped or moved"},
		"reordered far":    {func(f file) file { f[at(3)], f[at(34)] = f[at(34)], f[at(3)]; return f }, -1, "entries 0 to 9 was"},
		"rolled back":      {func(f file) file { return append(f[:at(30)-1], jsonLine(t, "checkpoint", l.checkpoint(t, 30))) }, -1, "rolled back: it has 30 entries, the older checkpoint had 40"},
		"cut behind entry": {func(f file) file { return f[:at(17)] }, 17, "cut short"},
		"cut behind mark":  {func(f file) file { return f[:at(20)] }, 20, "cut short"},
		"mark moved":       {func(f file) file { f[at(10)-1], f[at(20)-1] = f[at(20)-1], f[at(10)-1]; return f }, -1, "signed for 20 entries and there are 10"},
		"mark of another":  {func(f file) file { f[at(10)-1] = jsonLine(t, "so_far", other.checkpoint(t, 10)); return f }, -1, "not signed"},
		"two ends":         {func(f file) file { return append(f, f[len(f)-1]) }, 40, "something follows"},
		"two headers":      {func(f file) file { return slices.Insert(f, 1, f[0]) }, 0, "neither"},
		"no header":        {func(f file) file { return f[1:] }, -1, "no header"},
		"another format":   {func(f file) file { f[0] = strings.Replace(f[0], "ledger/1", "ledger/2", 1); return f }, -1, "reads"},
		"another key":      {func(f file) file { f[0] = other.file(t)[0]; return f }, -1, "is expected"},
		"another origin":   {func(f file) file { f[0] = strings.Replace(f[0], `"ensign/c`, `"ensign/x`, 1); return f }, -1, "its key of"},
		"key is none":      {func(f file) file { f[0] = strings.Replace(f[0], l.key, "x", 1); return f }, -1, "is expected"},
		"not from 0":       {func(f file) file { f[0] = strings.TrimSuffix(f[0], "}") + `,"from":3}`; return f }, -1, "begins with entry 3"},
		"both checkpoints": {func(f file) file { f[at(10)-1] = `{"so_far":"a","checkpoint":"b"}`; return f }, 10, "neither"},
		"unknown line":     {func(f file) file { return slices.Insert(f, 5, `{"witness":"x"}`) }, 4, "neither"},
		"empty line":       {func(f file) file { return slices.Insert(f, 5, "") }, 4, "neither"},
		"long line":        {func(f file) file { return slices.Insert(f, 5, `{"kind":"`+strings.Repeat("x", 1<<17)) }, 4, "longer than"},
		"carriage returns": {func(f file) file { return strings.Split(strings.Join(f, "\r\n"), "\n") }, -1, "was changed"},
		"nothing":          {func(file) file { return nil }, -1, "no header"},
	} {
		t.Run(name, func(t *testing.T) {
			text := c.do(l.file(t)).String()
			_, err := verifyFile(t, text, audit.Options{Key: l.key, Older: []string{l.checkpoint(t, 40)}})
			if problem := (*audit.Problem)(nil); !errors.As(err, &problem) || problem.Index != c.index || !strings.Contains(problem.Error(), c.want) {
				t.Errorf("found %v; want %q at %d", err, c.want, c.index)
			}
		})
	}
}

// TestEveryCutIsFound cuts a file behind each of its bytes.
func TestEveryCutIsFound(t *testing.T) {
	text := newLog(t, 12).file(t).String()
	for n := range len(text) {
		_, err := verifyFile(t, text[:n], audit.Options{})
		if problem := (*audit.Problem)(nil); !errors.As(err, &problem) {
			t.Fatalf("cut behind byte %d: %v", n, err)
		}
	}
}

// TestTroubleIsNoProblem: what is not the log's fault is not blamed on it.
func TestTroubleIsNoProblem(t *testing.T) {
	l := newLog(t, 2500)
	text := l.file(t).String()
	stop := errors.New("stop")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		file io.Reader
		o    audit.Options
		want error
	}{
		"reading":   {t.Context(), io.MultiReader(strings.NewReader(text[:5000]), iotest.ErrReader(stop)), audit.Options{}, stop},
		"header":    {t.Context(), iotest.ErrReader(stop), audit.Options{}, stop},
		"the end":   {t.Context(), io.MultiReader(strings.NewReader(text), iotest.ErrReader(stop)), audit.Options{}, stop},
		"taking":    {t.Context(), strings.NewReader(text), audit.Options{Take: func(audit.Line) error { return stop }}, stop},
		"cancelled": {cancelled, strings.NewReader(text), audit.Options{}, context.Canceled},
	} {
		_, err := audit.VerifyFile(c.ctx, c.file, c.o)
		if problem := (*audit.Problem)(nil); !errors.Is(err, c.want) || errors.As(err, &problem) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReader takes a file from anybody: it never panics, and verifies nothing but
// the log's own entries.
func FuzzReader(f *testing.F) {
	l := newLog(f, 12)
	good := l.file(f).String()
	f.Add([]byte(good))
	f.Add([]byte(good[:len(good)/2]))
	f.Add([]byte(`{"format":"ensign-ledger/1"}` + "\n" + `{"checkpoint":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := audit.VerifyFile(t.Context(), bytes.NewReader(text), audit.Options{Key: l.key, Certificate: fmt.Sprintf("%032x", 3)})
		problem := (*audit.Problem)(nil)
		if err != nil && !errors.As(err, &problem) {
			t.Errorf("an error without a problem: %v", err)
		}
		if err == nil && (r.Entries != 12 || r.Root != root(l.entries).String()) {
			t.Errorf("verified %q", text)
		}
	})
}

// TestInclusion proves every entry of logs of every shape, and nothing else.
func TestInclusion(t *testing.T) {
	for size := range 35 {
		l := newLog(t, size)
		text := l.file(t).String()
		for n := range size {
			r, err := verifyFile(t, text, audit.Options{Certificate: fmt.Sprintf("%032x", n)})
			if err != nil {
				t.Fatal(err)
			}
			proven, err := audit.CheckProof(l.key, r.Proof)
			if err != nil || proven.Index != uint64(n) || proven.Size != uint64(size) || !bytes.Equal(proven.Data, l.entries[n]) ||
				proven.Entry.Serial != fmt.Sprintf("%032x", n) || proven.Checkpoint != l.checkpoint(t, size) {
				t.Fatalf("entry %d of %d: %+v, %v", n, size, proven, err)
			}
		}
		_, err := verifyFile(t, text, audit.Options{Certificate: "none"})
		if problem := (*audit.Problem)(nil); !errors.As(err, &problem) || !strings.Contains(err.Error(), "does not hold it") {
			t.Errorf("a certificate that is not there: %v", err)
		}
	}
}

func TestARootIsProvenByItsCertificateOnly(t *testing.T) {
	l := newLog(t, 0)
	data, err := json.Marshal(ca.Entry{Kind: ca.KindRoot, Serial: "ab", Certificate: "cdef"})
	if err != nil {
		t.Fatal(err)
	}
	l.entries = append(l.entries, data)
	if _, err := verifyFile(t, l.file(t).String(), audit.Options{Certificate: "cdef"}); err != nil {
		t.Errorf("by its certificate: %v", err)
	}
	if _, err := verifyFile(t, l.file(t).String(), audit.Options{Certificate: "ab"}); err == nil {
		t.Error("by its serial, which need not be its own")
	}
}

func TestAForgedProofIsRefused(t *testing.T) {
	l, other := newLog(t, 21), newLog(t, 21)
	r, err := verifyFile(t, l.file(t).String(), audit.Options{Certificate: fmt.Sprintf("%032x", 7)})
	if err != nil {
		t.Fatal(err)
	}
	good := string(r.Proof)
	lines := strings.SplitAfter(good, "\n")
	forge := func(n int, line string) string {
		forged := slices.Clone(lines)
		forged[n] = line
		return strings.Join(forged, "")
	}
	for name, text := range map[string]string{
		"nothing": "", "another entry": forge(1, lines[1][:len("extra ")]+"eyJraW5kIjoic3ZpZCJ9\n"), "another index": forge(2, "index 8\n"), "no extra": forge(1, ""),
		"another hash": forge(3, lines[4]), "a hash less": forge(3, ""), "large": good + strings.Repeat("x", 1<<20), "no checkpoint": good[:strings.Index(good, "\n\n")],
		"another log's checkpoint": good[:strings.Index(good, "\n\n")+2] + other.checkpoint(t, 21), "negative": forge(2, "index -7\n"),
		"another log's name": good[:strings.Index(good, "\n\n")+2] + l.sign(t, "ensign/evil.example/ledger\n21\n"+root(l.entries).String()+"\n"),
	} {
		_, err := audit.CheckProof(l.key, []byte(text))
		if problem := (*audit.Problem)(nil); !errors.As(err, &problem) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := audit.CheckProof(other.key, []byte(good)); err == nil {
		t.Error("took another log's proof")
	}
	if _, err := audit.CheckProof("none", []byte(good)); err == nil {
		t.Error("took no key")
	}
}

// FuzzProof takes a proof from anybody.
func FuzzProof(f *testing.F) {
	l := newLog(f, 21)
	r, err := verifyFile(f, l.file(f).String(), audit.Options{Certificate: fmt.Sprintf("%032x", 7)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.Proof)
	f.Add([]byte("c2sp.org/tlog-proof@v1\nextra \nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, proof []byte) {
		p, err := audit.CheckProof(l.key, proof)
		if err == nil && !bytes.Equal(p.Data, l.entries[7]) {
			t.Errorf("proven: %q", proof)
		}
		problem := (*audit.Problem)(nil)
		if err != nil && !errors.As(err, &problem) {
			t.Errorf("an error without a problem: %v", err)
		}
	})
}

// TestOlderMustBeOurs: an older checkpoint that is not the log's is refused before
// anything is read.
func TestOlderMustBeOurs(t *testing.T) {
	l, other := newLog(t, 5), newLog(t, 5)
	if _, err := verifyFile(t, l.file(t).String(), audit.Options{Older: []string{other.checkpoint(t, 3)}}); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("%v", err)
	}
	if _, err := verifyFile(t, l.file(t).String(), audit.Options{Older: []string{""}}); err == nil || !strings.Contains(err.Error(), "older checkpoint") {
		t.Errorf("%v", err)
	}
}
