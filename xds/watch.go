package xds

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// watch is what one client wants, has and was told of one kind.
type watch struct {
	kind kind
	// asked: the client has asked for this kind on this stream.
	asked bool
	// answered: it was answered, or brought versions of its own so that silence
	// means "nothing changed".
	answered bool
	wildcard bool
	names    map[string]struct{}

	have map[string]entry
	// dirty are the names to look at, force those to send even if the client has
	// the same version.
	dirty, force map[string]struct{}
	refused      map[string]Rejection
	// leaving are names that the mesh has no more, and until when the client keeps
	// them; see lingers.
	leaving map[string]time.Time

	flights []*flight
	nonce   string // of the newest response
	// suspects are sets of names that a refused response held: each is sent alone
	// until the culprit is found.
	suspects [][]string
	// more: the last response left some out because it was full.
	more  bool
	acked time.Time
}

// entry is what a client has under one name.
type entry struct {
	acked *resource // what it is known to use; nil: nothing
	sent  *resource // what it was sent last; acked once it is acknowledged
}

// flight is one response that is not answered yet.
type flight struct {
	nonce     string
	resources []*resource
	at        time.Time
	// overdue: the client has kept silent for so long that others do not wait.
	overdue bool
}

// maxFlights bounds how many responses of one kind may be unanswered; more than
// one are only after each of the older ones is overdue.
const maxFlights = 8

func newWatch(k kind) *watch {
	return &watch{
		kind: k, names: map[string]struct{}{}, have: map[string]entry{},
		dirty: map[string]struct{}{}, force: map[string]struct{}{}, refused: map[string]Rejection{},
		leaving: map[string]time.Time{},
	}
}

// wants says whether the client is subscribed to a name.
func (w *watch) wants(name string) bool {
	if w.wildcard {
		return w.asked
	}
	_, ok := w.names[name]
	return ok
}

func (w *watch) mark(name string) { w.dirty[name] = struct{}{} }

// resend marks a name to be sent whatever the client has.
func (w *watch) resend(name string) {
	w.mark(name)
	w.force[name] = struct{}{}
}

// settle takes a name off the list of work.
func (w *watch) settle(name string) {
	delete(w.dirty, name)
	delete(w.force, name)
}

// forget drops all that is known of a name: the client let go of it.
func (w *watch) forget(name string) {
	w.settle(name)
	delete(w.have, name)
	delete(w.refused, name)
	delete(w.leaving, name)
}

// busy says whether an answer is awaited that others wait for too.
func (w *watch) busy() bool {
	return w.more || slices.ContainsFunc(w.flights, func(f *flight) bool { return !f.overdue })
}

// launch notes a response as sent.
func (w *watch) launch(f *flight) {
	w.nonce = f.nonce
	w.answered = true
	w.flights = append(w.flights, f)
	if len(w.flights) > maxFlights {
		w.flights = slices.Clone(w.flights[1:])
	}
	for _, r := range f.resources {
		e := w.have[r.name]
		e.sent = r
		w.have[r.name] = e
	}
}

// land takes the flight of a nonce off the list; nil if there is none: the
// nonce is stale or made up.
func (w *watch) land(nonce string, latestOnly bool) *flight {
	i := slices.IndexFunc(w.flights, func(f *flight) bool { return f.nonce == nonce })
	if i < 0 || latestOnly && nonce != w.nonce {
		return nil
	}
	f := w.flights[i]
	if latestOnly {
		w.flights = nil // the newest state holds all older ones
	} else {
		w.flights = slices.Delete(w.flights, i, i+1)
	}
	return f
}

// work is the names to look at now, in order.
func (w *watch) work() []string {
	if len(w.suspects) > 0 {
		return w.suspects[0]
	}
	return slices.Sorted(maps.Keys(w.dirty))
}

// held is everything the client was sent, in the order of names.
func (w *watch) held() []*resource {
	all := make([]*resource, 0, len(w.have))
	for _, e := range w.have {
		if e.sent != nil {
			all = append(all, e.sent)
		}
	}
	slices.SortFunc(all, func(a, b *resource) int { return strings.Compare(a.name, b.name) })
	return all
}

// markWanted marks a name if the client is subscribed to it.
func (w *watch) markWanted(name string) {
	if w.asked && w.wants(name) {
		w.mark(name)
	}
}
