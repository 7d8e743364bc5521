package rotation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ensign-mesh/ensign/ca"
)

// Verb is what an entry of the ledger does. Values are stable.
type verb string

const (
	adopt      verb = "adopt"      // the first root, once
	begin      verb = "begin"      // a rotation is wanted: preparing
	distribute verb = "distribute" // the new root is there: distributing
	activate   verb = "activate"   // activating
	retire     verb = "retire"     // retiring
	finish     verb = "finish"     // done
	skip       verb = "skip"       // a gate is passed without these
	pause      verb = "pause"      // no further steps
	resume     verb = "resume"     // further steps
	rollback   verb = "rollback"   // turned around
)

const (
	// ensignd is the actor of what nobody asked for.
	ensignd = "ensignd"
	// maxText bounds what a person may write into the ledger, in bytes.
	maxText = 1024
	// maxNames bounds the names in one entry, in bytes of JSON.
	maxNames = 16 << 10

	rootObject     = "root"
	rotationObject = "rotation:"
)

// record is one entry of the ledger about a rotation.
type record struct {
	index uint64
	time  time.Time
	actor string
	verb  verb
	id    string // of the rotation; "" of adopt
	detail
}

// detail is what Detail of a ledger's entry holds.
type detail struct {
	// Prior is the revision that the entry follows: the index, plus one, of the entry
	// before it that counts. So of two entries that were written at once, or of one
	// that was written twice, the first counts and the other never does.
	Prior  uint64 `json:"prior"`
	Reason string `json:"reason,omitempty"`
	// Options and From (a fingerprint) belong to begin.
	Options *Options `json:"options,omitempty"`
	From    string   `json:"from,omitempty"`
	// Root is the one that adopt and distribute bring, and that begin goes back to.
	Root *Ref `json:"root,omitempty"`
	// Link (DER) shows those who know only the root that signed before this entry that
	// the other one follows it.
	Link []byte `json:"link,omitempty"`
	// Names of skip.
	Names []string `json:"names,omitempty"`
}

// entry is what the ledger holds of a record.
func (r record) entry() (ca.Entry, error) {
	text, err := json.Marshal(r.detail)
	if err != nil {
		return ca.Entry{}, fmt.Errorf("encoding a step of the rotation: %w", err)
	}
	object := rootObject
	if r.id != "" {
		object = rotationObject + r.id
	}
	return ca.Entry{Kind: ca.KindRotation, Time: r.time, Actor: r.actor, Verb: string(r.verb), Object: object, Detail: string(text)}, nil
}

// recordOf reads an entry. What this program would not have written is an error: to
// pass over a step would trust, or not trust, another root than was decided.
func recordOf(e ca.Recorded) (record, error) {
	r := record{index: e.Index, time: e.Entry.Time.UTC().Truncate(time.Second), actor: e.Entry.Actor, verb: verb(e.Entry.Verb)}
	id, rotates := strings.CutPrefix(e.Entry.Object, rotationObject)
	if rotates && id == "" || !rotates && e.Entry.Object != rootObject {
		return record{}, fmt.Errorf("%.80q is neither a root nor a rotation", e.Entry.Object)
	}
	if rotates {
		r.id = id
	}
	d := json.NewDecoder(bytes.NewReader([]byte(e.Entry.Detail)))
	d.DisallowUnknownFields()
	if err := d.Decode(&r.detail); err != nil {
		return record{}, fmt.Errorf("decoding its detail: %w", err)
	}
	return r, nil
}

// checkText says whether a person's words may go into the ledger. Errors wrap [ErrRefused].
func checkText(actor, reason string) error {
	if actor == "" {
		return fmt.Errorf("%w: it needs an actor", ErrRefused)
	}
	for _, text := range []string{actor, reason} {
		if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("%w: actor and reason must be one line of text of at most %d bytes each", ErrRefused, maxText)
		}
	}
	return nil
}

// skips are the records that name all of these; one holds only so many.
func skips(names []string) []record {
	var all []record
	size := 0
	for _, n := range names {
		if size += len(n) + 3; len(all) == 0 || size > maxNames {
			all, size = append(all, record{verb: skip}), len(n)+3
		}
		last := &all[len(all)-1]
		last.Names = append(last.Names, n)
	}
	return all
}

// event is the record for people.
func (r record) event() Event {
	text := r.Reason
	switch {
	case r.verb == skip:
		text = "without " + list(r.Names, 5)
	case r.verb == begin && r.Root != nil:
		text = join("back to "+r.Root.Name+" in "+r.Root.Place, text)
	case r.verb == distribute && r.Root != nil:
		text = join("new root "+r.Root.Name+" in "+r.Root.Place, text)
	}
	return Event{Index: r.index, Time: r.time, Verb: string(r.verb), Actor: r.actor, Detail: text}
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + ": " + b
}

// list is the first names of many.
func list(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
