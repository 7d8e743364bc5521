package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca"
)

// maxEntry is how large an entry may be (C2SP tlog-tiles: lengths have 16 bits).
const maxEntry = 1<<16 - 1

// Summary is what a log that verified holds.
type Summary struct {
	Entries uint64 `json:"entries"`
	// Root is the Merkle root in base64, as the checkpoint has it.
	Root   string            `json:"root"`
	ByKind map[string]uint64 `json:"by_kind"`
	// ConsistentWith is the size of the newest older checkpoint that the log grew
	// from; nil without one: then the log is only consistent in itself.
	ConsistentWith *uint64 `json:"consistent_with,omitempty"`
}

// Verifier recomputes one log. It is not safe for concurrent use.
type Verifier struct {
	verifier note.Verifier
	origin   string
	frontier frontier
	// older are the checkpoints to come, smallest first; proven is the size of
	// the last one that the log was found to grow from, -1 before that.
	older  []torchwood.Checkpoint
	proven int64
	// held is the newest size at which the root was that of any checkpoint: what
	// is found wrong from then on lies behind it.
	held    int64
	serials map[serialKey]int64
	byKind  map[string]uint64
	wanted  *wanted
	// finished is the checkpoint that Finish found to hold.
	finished string
}

// serialKey is half a SHA-256 of a serial: the one thing that is kept of every entry.
type serialKey [16]byte

// New takes the log's verifier key (C2SP signed-note), whose name is its origin.
func New(verifierKey string) (*Verifier, error) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return nil, fmt.Errorf("reading the verifier key: %w", err)
	}
	return &Verifier{verifier: verifier, origin: verifier.Name(), proven: -1, serials: map[serialKey]int64{}, byKind: map[string]uint64{}}, nil
}

// Expect takes an older checkpoint of this log, before the first entry: the log
// must have had this very root when it had this size. It may be called for
// several; a change is then known to lie behind the last one that held.
func (v *Verifier) Expect(oldNote string) error {
	checkpoint, err := v.open(oldNote)
	if err != nil {
		return err
	}
	v.older = append(v.older, checkpoint)
	slices.SortFunc(v.older, func(a, b torchwood.Checkpoint) int { return cmp.Compare(a.N, b.N) })
	return v.hold()
}

// hold holds the log, at the size it has now, against the older checkpoints of that size.
func (v *Verifier) hold() error {
	for len(v.older) > 0 && v.older[0].N == v.frontier.size {
		if v.older[0].Hash != v.frontier.root() {
			return problem(-1, "the log is not what it was: its first %d entries have another root than the older checkpoint; %s", v.older[0].N, v.suspects())
		}
		v.proven, v.held, v.older = v.older[0].N, v.older[0].N, v.older[1:]
	}
	return nil
}

// suspects says between which entries a change must lie.
func (v *Verifier) suspects() string {
	return fmt.Sprintf("one of the entries %d to %d was changed, dropped or moved", v.held, v.frontier.size-1)
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
	e, err := v.read(want, data)
	if err != nil {
		return err
	}
	if v.wanted != nil && v.wanted.index < 0 && v.wanted.is(e) {
		v.wanted.index, v.wanted.data = want, bytes.Clone(data)
		v.frontier.track()
	}
	v.frontier.add(tlog.RecordHash(data))
	return v.hold()
}

// read looks into an entry: it must be one, and no serial may come twice.
func (v *Verifier) read(index int64, data []byte) (ca.Entry, error) {
	var e ca.Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return e, problem(index, "it is no ledger entry: %v", err)
	}
	v.byKind[string(e.Kind)]++
	if !issued(e) {
		return e, nil
	}
	sum := sha256.Sum256([]byte(e.Serial))
	key := serialKey(sum[:len(serialKey{})])
	if first, twice := v.serials[key]; twice {
		return e, problem(index, "serial %q was issued before, in entry %d", e.Serial, first)
	}
	v.serials[key] = index
	return e, nil
}

// SoFar holds what was added against a checkpoint of exactly these entries. It
// proves nothing that [Verifier.Finish] would not, but what is wrong later is then
// known to lie behind it.
func (v *Verifier) SoFar(checkpointNote string) error {
	checkpoint, err := v.open(checkpointNote)
	if err != nil {
		return err
	}
	size, root := v.frontier.size, v.frontier.root()
	switch {
	case checkpoint.N > size:
		return problem(-1, "the checkpoint is signed for %d entries and there are %d: of the entries %d to %d, %d missing", checkpoint.N, size, v.held, checkpoint.N-1, checkpoint.N-size)
	case checkpoint.N < size:
		return problem(-1, "the checkpoint is signed for %d entries and there are %d: of the entries %d to %d, %d added", checkpoint.N, size, v.held, size-1, size-checkpoint.N)
	case checkpoint.Hash != root:
		return problem(-1, "the entries lead to root %s, the checkpoint of size %d is signed for %s: %s", root, size, checkpoint.Hash, v.suspects())
	}
	v.held = size
	return nil
}

// Finish holds what was added against the newest checkpoint. An empty log has
// no checkpoint: then the note is "".
func (v *Verifier) Finish(checkpointNote string) (Summary, error) {
	if checkpointNote != "" || v.frontier.size > 0 {
		if err := v.SoFar(checkpointNote); err != nil {
			return Summary{}, err
		}
	}
	if len(v.older) > 0 {
		return Summary{}, problem(-1, "the log was rolled back: it has %d entries, the older checkpoint had %d", v.frontier.size, v.older[len(v.older)-1].N)
	}
	v.finished = checkpointNote
	return v.summary(), nil
}

func (v *Verifier) summary() Summary {
	s := Summary{Entries: uint64(v.frontier.size), Root: v.frontier.root().String(), ByKind: v.byKind}
	if v.proven >= 0 {
		size := uint64(v.proven)
		s.ConsistentWith = &size
	}
	return s
}
