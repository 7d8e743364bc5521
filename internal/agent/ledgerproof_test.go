package agent

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// testLog is a ledger in memory, with a past that a test may change.
type testLog struct {
	t      rapid.TB
	signer note.Signer
	key    string
	hashes []tlog.Hash
	size   int64
}

func newTestLog(t rapid.TB) *testLog {
	private, public, err := note.GenerateKey(rand.Reader, "ledger.test/one")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return &testLog{t: t, signer: signer, key: public}
}

func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, i := range indexes {
		found = append(found, l.hashes[i])
	}
	return found, nil
}

// add appends entries.
func (l *testLog) add(entries ...string) *testLog {
	for _, entry := range entries {
		hashes, err := tlog.StoredHashes(l.size, []byte(entry), l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes, l.size = append(l.hashes, hashes...), l.size+1
	}
	return l
}

// grow appends so many entries of one past.
func (l *testLog) grow(n int, past string) *testLog {
	for range n {
		l.add(fmt.Sprint(past, l.size))
	}
	return l
}

// fork is another log with the same key and nothing in it.
func (l *testLog) fork() *testLog { return &testLog{t: l.t, signer: l.signer, key: l.key} }

// at is the log signed at a size, proven from another.
func (l *testLog) at(size, from int64) *ensignv1.LedgerProof {
	root, err := tlog.TreeHash(size, l)
	if err != nil {
		l.t.Fatal(err)
	}
	text := torchwood.Checkpoint{Origin: l.signer.Name(), Tree: tlog.Tree{N: size, Hash: root}}.String()
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	proof := &ensignv1.LedgerProof{Note: string(signed), VerifierKey: l.key, From: uint64(from)}
	if from > 0 && from < size {
		hashes, err := tlog.ProveTree(size, from, l)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, hash := range hashes {
			proof.Consistency = append(proof.Consistency, hash[:])
		}
	}
	return proof
}

func TestAProofIsJudged(t *testing.T) {
	log := newTestLog(t).grow(20, "a")
	forked, foreign := log.fork().grow(5, "a").grow(15, "b"), newTestLog(t).grow(20, "a")
	short := log.at(12, 8)
	short.Consistency = short.Consistency[1:]
	odd := log.at(12, 8)
	odd.Consistency[0] = odd.Consistency[0][1:]
	unsigned := log.at(12, 8)
	unsigned.Note = strings.Replace(unsigned.Note, "12\n", "13\n", 1)
	long := log.at(12, 8)
	long.Note += strings.Repeat("x", maxNote)
	many := log.at(12, 8)
	many.Consistency = make([][]byte, maxProof+1)
	kept, err := openNote(log.key, log.at(8, 0).Note)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		proof *ensignv1.LedgerProof
		told  uint64
		want  proofResult
	}{
		"grown":                               {log.at(12, 8), 8, proofGrown},
		"the same":                            {log.at(8, 8), 8, proofSame},
		"an answer to an earlier report":      {log.at(12, 5), 5, proofUnproven},
		"an answer from before":               {log.at(6, 5), 5, proofUnproven},
		"no proof from what was told":         {log.at(12, 0), 5, proofInvalid},
		"rolled back":                         {log.at(6, 8), 8, proofFork},
		"emptied":                             {&ensignv1.LedgerProof{}, 8, proofFork},
		"empty before the first":              {&ensignv1.LedgerProof{}, 0, proofUnproven},
		"another entry":                       {forked.at(8, 8), 8, proofFork},
		"another entry, and grown":            {forked.at(12, 8), 8, proofFork},
		"another log":                         {foreign.at(12, 8), 8, proofFork},
		"a hash is missing":                   {short, 8, proofFork},
		"a hash is short":                     {odd, 8, proofFork},
		"changed after it was signed":         {unsigned, 8, proofInvalid},
		"a note that is too long":             {long, 8, proofInvalid},
		"a proof that is too long":            {many, 8, proofInvalid},
		"grown from another size than told":   {log.at(12, 8), 3, proofInvalid},
		"a fork proven from another size":     {forked.at(12, 9), 8, proofInvalid},
		"a fork proven from an earlier size":  {forked.at(12, 6), 8, proofInvalid},
		"nothing":                             {nil, 8, proofInvalid},
		"signed by the key, and not by it":    {&ensignv1.LedgerProof{Note: foreign.at(12, 8).Note, VerifierKey: log.key, From: 8}, 8, proofInvalid},
		"the right note under another's name": {&ensignv1.LedgerProof{Note: log.at(12, 8).Note, VerifierKey: foreign.key, From: 8}, 8, proofFork},
	} {
		next, v := judge(kept, log.key, shownProof{c.proof, c.told})
		if v.result != c.want || (v.result == proofGrown && next.N != 12) || (v.why == "") != (c.want == proofGrown || c.want == proofSame) {
			t.Errorf("%s: %+v, want %s", name, v, c.want)
		}
	}
	if _, v := judge(nil, "", shownProof{}); v.result != proofUnproven {
		t.Errorf("nothing before the first: %+v", v)
	}
	if next, v := judge(nil, "", shownProof{log.at(8, 0), 0}); v.result != proofGrown || next.N != 8 {
		t.Errorf("the first: %+v", v)
	}
}

// However a log grows, an honest one is believed, and one that changed anything of
// what was shown is not.
func TestEveryForkIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := newTestLog(t)
		seen := rapid.IntRange(1, 40).Draw(t, "seen")
		more := rapid.IntRange(0, 40).Draw(t, "more")
		log.grow(seen+more, "a")
		kept, err := openNote(log.key, log.at(int64(seen), 0).Note)
		if err != nil {
			t.Fatal(err)
		}
		want := proofGrown
		if more == 0 {
			want = proofSame
		}
		if _, v := judge(kept, log.key, shownProof{log.at(log.size, int64(seen)), uint64(seen)}); v.result != want {
			t.Fatalf("an honest log: %+v", v)
		}
		same := rapid.IntRange(0, seen-1).Draw(t, "same")
		forked := log.fork().grow(same, "a").grow(seen-same+more, "b")
		if _, v := judge(kept, log.key, shownProof{forked.at(forked.size, int64(seen)), uint64(seen)}); v.result != proofFork {
			t.Fatalf("a fork after %d of %d: %+v", same, seen, v)
		}
	})
}

// FuzzLedgerProof: whatever is shown, what grows was signed, and is larger.
func FuzzLedgerProof(f *testing.F) {
	log := newTestLog(f).grow(20, "a")
	kept, err := openNote(log.key, log.at(8, 0).Note)
	if err != nil {
		f.Fatal(err)
	}
	good := log.at(12, 8)
	f.Add(good.Note, good.VerifierKey, good.From, good.Consistency[0], uint64(8))
	f.Add("", good.VerifierKey, uint64(0), []byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, note, key string, from uint64, hash []byte, told uint64) {
		proof := &ensignv1.LedgerProof{Note: note, VerifierKey: key, From: from, Consistency: append([][]byte{hash}, good.Consistency[1:]...)}
		if next, v := judge(kept, log.key, shownProof{proof, told}); v.result == proofGrown && (next.N <= kept.N || key != log.key) {
			t.Errorf("%+v", next)
		}
		judge(nil, "", shownProof{proof, told})
		if _, _, err := parseMemory([]byte(note)); err == nil {
			t.Errorf("%q is a memory", note)
		}
	})
}
