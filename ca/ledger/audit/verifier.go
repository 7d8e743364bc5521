package audit

import (
	"encoding/json"
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca"
)

// maxEntry is how large an entry may be; the writer has the same limit.
const maxEntry = 64 << 10

// Problem is the first thing found wrong with a log.
type Problem struct {
	// Index of the entry where it shows; -1 if it is about the log as a whole.
	Index int64
	What  string
}

func (p *Problem) Error() string {
	if p.Index < 0 {
		return p.What
	}
	return fmt.Sprintf("entry %d: %s", p.Index, p.What)
}

func problem(index int64, format string, args ...any) *Problem {
	return &Problem{Index: index, What: fmt.Sprintf(format, args...)}
}

// Summary is what a log that verified holds.
type Summary struct {
	Entries uint64 `json:"entries"`
	// Root is the Merkle root in base64, as the checkpoint has it.
	Root   string            `json:"root"`
	ByKind map[string]uint64 `json:"by_kind"`
	// ConsistentWith is the size of the older checkpoint that the log grew from;
	// nil without one: then the log is only consistent in itself.
	ConsistentWith *uint64 `json:"consistent_with,omitempty"`
}

// Verifier recomputes one log. It is not safe for concurrent use.
type Verifier struct {
	verifier note.Verifier
	origin   string
	frontier frontier
	older    *torchwood.Checkpoint
	serials  map[string]int64
	byKind   map[string]uint64
}

// New takes the log's verifier key (C2SP signed-note), whose name is its origin.
func New(verifierKey string) (*Verifier, error) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return nil, fmt.Errorf("reading the verifier key: %w", err)
	}
	return &Verifier{verifier: verifier, origin: verifier.Name(), serials: map[string]int64{}, byKind: map[string]uint64{}}, nil
}

// Expect takes an older checkpoint of this log, before the first entry: the log
// must have had this very root when it had this size.
func (v *Verifier) Expect(oldNote string) error {
	checkpoint, err := v.open(oldNote)
	if err != nil {
		return err
	}
	v.older = &checkpoint
	return nil
}

// Add takes the next entry.
func (v *Verifier) Add(index uint64, data []byte) error {
	want := v.frontier.size
	switch {
	case index > uint64(want):
		return problem(want, "it is missing: the next one that is there has index %d", index)
	case index < uint64(want):
		return problem(int64(index), "it comes again, behind entry %d", want-1)
	case len(data) > maxEntry:
		return problem(want, "it has %d bytes, more than the %d that an entry may have", len(data), maxEntry)
	}
	if err := v.read(want, data); err != nil {
		return err
	}
	v.frontier.add(tlog.RecordHash(data))
	if v.older != nil && v.older.N == v.frontier.size && v.older.Hash != v.frontier.root() {
		return problem(-1, "the log is not what it was: its first %d entries have another root than the older checkpoint; an entry among them was changed, dropped or moved", v.older.N)
	}
	return nil
}

// read looks into an entry: it must be one, and no serial may come twice.
func (v *Verifier) read(index int64, data []byte) error {
	var e ca.Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return problem(index, "it is no ledger entry: %v", err)
	}
	v.byKind[string(e.Kind)]++
	if e.Serial == "" || e.Kind == ca.KindRoot {
		return nil
	}
	if first, twice := v.serials[e.Serial]; twice {
		return problem(index, "serial %s was issued before, in entry %d", e.Serial, first)
	}
	v.serials[e.Serial] = index
	return nil
}

// Finish holds what was added against the newest checkpoint.
func (v *Verifier) Finish(checkpointNote string) (Summary, error) {
	if checkpointNote == "" && v.frontier.size == 0 && v.older == nil {
		return Summary{ByKind: v.byKind}, nil
	}
	checkpoint, err := v.open(checkpointNote)
	if err != nil {
		return Summary{}, err
	}
	root := v.frontier.root()
	switch {
	case checkpoint.N > v.frontier.size:
		return Summary{}, problem(-1, "the checkpoint is signed for %d entries and there are %d: the last ones are missing", checkpoint.N, v.frontier.size)
	case checkpoint.N < v.frontier.size:
		return Summary{}, problem(-1, "the checkpoint is signed for %d entries and there are %d: entries were added that it does not cover", checkpoint.N, v.frontier.size)
	case checkpoint.Hash != root:
		return Summary{}, problem(-1, "the entries lead to root %s, the checkpoint is signed for %s: an entry was changed or moved", root, checkpoint.Hash)
	case v.older != nil && v.older.N > v.frontier.size:
		return Summary{}, problem(-1, "the log was rolled back: it has %d entries, the older checkpoint had %d", v.frontier.size, v.older.N)
	}
	summary := Summary{Entries: uint64(v.frontier.size), Root: root.String(), ByKind: v.byKind}
	if v.older != nil {
		size := uint64(v.older.N)
		summary.ConsistentWith = &size
	}
	return summary, nil
}

// open checks a checkpoint's signature and reads it.
func (v *Verifier) open(text string) (torchwood.Checkpoint, error) {
	signed, err := note.Open([]byte(text), note.VerifierList(v.verifier))
	if err != nil {
		return torchwood.Checkpoint{}, problem(-1, "the checkpoint is not signed by the key %s: %v", v.origin, err)
	}
	checkpoint, err := torchwood.ParseCheckpoint(signed.Text)
	if err != nil {
		return torchwood.Checkpoint{}, problem(-1, "the checkpoint does not parse: %v", err)
	}
	if checkpoint.Origin != v.origin {
		return torchwood.Checkpoint{}, problem(-1, "the checkpoint is of the log %q, not of %q", checkpoint.Origin, v.origin)
	}
	return checkpoint, nil
}
