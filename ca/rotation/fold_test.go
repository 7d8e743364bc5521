package rotation

import (
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// history writes entries as the manager does, each behind the last that counts.
type history struct {
	t       testing.TB
	w       *world
	entries []ca.Recorded
	roots   []*fakeRoot
	id      string
	at      time.Time
}

func newHistory(t testing.TB) *history {
	w := newWorld(t)
	h := &history{t: t, w: w, at: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	for _, name := range []string{"a", "b", "c"} {
		h.roots = append(h.roots, newRoot(w, name, time.Hour))
	}
	return h
}

func (h *history) state() *state {
	h.t.Helper()
	s, err := fold(h.entries)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// add writes a verb with what it needs.
func (h *history) add(v verb, edit ...func(*record)) {
	h.t.Helper()
	s, err := fold(h.entries)
	if err != nil {
		return // the fault stays the last one's
	}
	h.at = h.at.Add(time.Minute)
	r := record{verb: v, actor: "uid:0", id: h.id, time: h.at, detail: detail{Prior: s.revision}}
	switch v {
	case adopt:
		r.id, r.Root = "", refOf(Builtin, "a", h.roots[0].chain)
	case begin:
		h.id += "x"
		r.id, r.Options = h.id, &Options{Via: Builtin, Window: time.Minute}
		if len(s.roots) > 0 {
			r.From = s.signing().fingerprint
		}
	case distribute:
		r.Root = refOf(Builtin, "b", h.roots[min(len(s.roots), 2)].chain)
	case skip:
		r.Names = []string{"shop/a"}
	}
	for _, e := range edit {
		e(&r)
	}
	e, err := r.entry()
	if err != nil {
		h.t.Fatal(err)
	}
	h.entries = append(h.entries, ca.Recorded{Index: uint64(3 * len(h.entries)), Entry: e})
}

// TestTheMachine tries every verb in every state. What may not follow is an error.
func TestTheMachine(t *testing.T) {
	all := []verb{adopt, begin, distribute, activate, retire, finish, skip, pause, resume, rollback}
	for path, next := range map[string]map[verb]string{
		"":                             {adopt: "a|a|-"},
		"adopt":                        {begin: "a|a|preparing"},
		"adopt begin":                  {distribute: "ab|a|distributing", skip: "a|a|preparing", pause: "a|a|preparing", rollback: "a|a|done rolled-back"},
		"adopt begin pause":            {distribute: "ab|a|distributing", skip: "a|a|preparing", resume: "a|a|preparing", rollback: "a|a|done rolled-back"},
		"adopt begin distribute":       {activate: "ab|b|activating", skip: "ab|a|distributing", pause: "ab|a|distributing", rollback: "a|a|retiring reversed"},
		"adopt begin distribute pause": {activate: "ab|b|activating", skip: "ab|a|distributing", resume: "ab|a|distributing", rollback: "a|a|retiring reversed"},
		"adopt begin distribute activate": {retire: "b|b|retiring", skip: "ab|b|activating", pause: "ab|b|activating",
			rollback: "ab|a|activating reversed"},
		"adopt begin distribute activate retire": {finish: "b|b|done completed", skip: "b|b|retiring", pause: "b|b|retiring",
			rollback: "ab|b|distributing reversed"},
		"adopt begin distribute activate retire finish":                                   {begin: "b|b|preparing"},
		"adopt begin rollback":                                                            {begin: "a|a|preparing"},
		"adopt begin distribute rollback":                                                 {finish: "a|a|done rolled-back", skip: "a|a|retiring reversed", pause: "a|a|retiring reversed"},
		"adopt begin distribute activate rollback":                                        {retire: "a|a|retiring reversed", skip: "ab|a|activating reversed", pause: "ab|a|activating reversed"},
		"adopt begin distribute activate retire rollback":                                 {activate: "ab|a|activating reversed", skip: "ab|b|distributing reversed", pause: "ab|b|distributing reversed"},
		"adopt begin distribute activate retire rollback activate retire finish":          {begin: "a|a|preparing"},
		"adopt begin distribute activate retire finish begin distribute":                  {activate: "bc|c|activating", skip: "bc|b|distributing", pause: "bc|b|distributing", rollback: "b|b|retiring reversed"},
		"adopt begin distribute activate retire finish begin distribute activate":         {retire: "c|c|retiring", skip: "bc|c|activating", pause: "bc|c|activating", rollback: "bc|b|activating reversed"},
		"adopt begin distribute activate retire rollback activate retire finish begin":    {distribute: "ac|a|distributing", skip: "a|a|preparing", pause: "a|a|preparing", rollback: "a|a|done rolled-back"},
		"adopt begin distribute activate retire finish begin distribute activate retire ": {finish: "c|c|done completed", skip: "c|c|retiring", pause: "c|c|retiring", rollback: "bc|c|distributing reversed"},
	} {
		for _, v := range all {
			h := newHistory(t)
			for _, before := range strings.Fields(path) {
				h.add(verb(before))
			}
			h.state()
			h.add(v)
			s, err := fold(h.entries)
			if want, ok := next[v]; !ok && err == nil {
				t.Errorf("%s, %s: no error but %s", path, v, h.describe(s))
			} else if ok && err != nil {
				t.Errorf("%s, %s: %v", path, v, err)
			} else if ok && h.describe(s) != want {
				t.Errorf("%s, %s: %s, want %s", path, v, h.describe(s), want)
			}
		}
	}
}

// describe is what is trusted, what signs, and the step.
func (h *history) describe(s *state) string {
	letter := func(a *anchor) string { return strings.TrimPrefix(a.root().Subject.CommonName, "Ensign root ") }
	trusted, signing := s.stand()
	found := map[string]bool{}
	for _, a := range trusted {
		found[letter(a)] = true
	}
	text := ""
	for _, l := range []string{"a", "b", "c"} {
		if found[l] {
			text += l
		}
	}
	text += "|" + letter(signing) + "|"
	switch {
	case s.run == nil:
		return text + "-"
	case s.run.outcome != running:
		return text + string(s.run.step) + " " + s.run.outcome
	case s.run.reversed:
		return text + string(s.run.step) + " reversed"
	}
	return text + string(s.run.step)
}

// TestWhatIsVoid: of two entries behind the same one, and of one that is there twice,
// the first counts; what this version does not know is an error and nothing is passed over.
func TestWhatIsVoid(t *testing.T) {
	h := newHistory(t)
	h.add(adopt)
	h.add(begin)
	first := h.id
	h.add(begin, func(r *record) { r.Prior = 1; r.id = "second" })
	h.id = first
	h.add(distribute)
	twice := h.entries[len(h.entries)-1]
	twice.Index++
	h.entries = append(h.entries, twice)
	h.add(activate, func(r *record) { r.id = first })
	h.add(rollback, func(r *record) { r.Prior--; r.id = first })
	if s := h.state(); s.run.id != first || h.describe(s) != "ab|b|activating" || len(s.run.timeline) != 3 {
		t.Errorf("%s %s", s.run.id, h.describe(s))
	}
	for name, edit := range map[string]func(*record){
		"from the future":   func(r *record) { r.Prior += 5 },
		"another rotation":  func(r *record) { r.id = "other" },
		"an unknown verb":   func(r *record) { r.verb = "pray" },
		"no rotation":       func(r *record) { r.id = "" },
		"a root as options": func(r *record) { r.verb = distribute },
	} {
		g := *h
		g.entries = append([]ca.Recorded(nil), h.entries...)
		g.id = first
		g.add(retire, edit)
		if _, err := fold(g.entries); err == nil || !strings.Contains(err.Error(), "entry 21 ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "{", `{"prior":16,"new":1}`, `[]`, `{"prior":-1}`} {
		entries := append([]ca.Recorded(nil), h.entries...)
		entries = append(entries, ca.Recorded{Index: 99, Entry: ca.Entry{Kind: ca.KindRotation, Verb: "retire", Object: "rotation:" + first, Detail: text}})
		if _, err := fold(entries); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestSequence: it grows with what is trusted, and with nothing else.
func TestSequence(t *testing.T) {
	h := newHistory(t)
	last := ""
	var sequence uint64
	for _, v := range []verb{adopt, begin, pause, resume, skip, distribute, skip, activate, pause, rollback, retire, finish, begin} {
		h.add(v)
		s := h.state()
		if key := s.trustKey(); (key != last) != (s.sequence > sequence) || s.sequence > s.revision {
			t.Errorf("after %s: sequence %d after %d, changed %v", v, s.sequence, sequence, key != last)
		}
		last, sequence = s.trustKey(), s.sequence
	}
}

// TestAWrongRoot of the ledger is not taken.
func TestAWrongRoot(t *testing.T) {
	h := newHistory(t)
	a, b := h.roots[0].chain, h.roots[1].chain
	for name, ref := range map[string]*Ref{
		"none": nil, "no place": {Name: "a", Chain: [][]byte{a[0].Raw}}, "no chain": {Place: Builtin, Name: "a"},
		"not X.509": {Place: Builtin, Name: "a", Chain: [][]byte{{1}}}, "not signed by the next": {Place: Builtin, Name: "a", Chain: [][]byte{a[0].Raw, b[0].Raw}},
		"too long": {Place: Builtin, Name: "a", Chain: [][]byte{a[0].Raw, a[0].Raw, a[0].Raw, a[0].Raw, a[0].Raw, a[0].Raw, a[0].Raw, a[0].Raw, a[0].Raw}},
	} {
		g := newHistory(t)
		g.add(adopt, func(r *record) { r.Root = ref })
		if _, err := fold(g.entries); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	h.add(adopt)
	h.add(begin)
	h.add(distribute, func(r *record) { r.Root = refOf(Builtin, "a", a) })
	if _, err := fold(h.entries); err == nil {
		t.Error("the old root is its own next")
	}
}
