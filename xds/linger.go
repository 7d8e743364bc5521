package xds

import (
	"time"

	"github.com/ensign-mesh/ensign/xds/build"
)

// draining is how long a client keeps what its replaced filter chains may still
// lead to: Envoy's own default for --drain-time-s. The agents start Envoy with less.
const draining = 10 * time.Minute

// lingers says whether a resource stays for a while when the mesh has it no more.
// Envoy acknowledges a listener before the connections of its old chains are gone,
// and answers 503 to a request on one of them whose cluster it has lost: when a pod
// leaves a service, its last clients would pay for it.
func lingers(k kind, name string) bool { return k == cluster && build.LeadsInside(name) }

// lingered says whether a name may go now. The first time that it is asked, the
// wait begins.
func (w *watch) lingered(name string, now time.Time) bool {
	if !lingers(w.kind, name) {
		return true
	}
	until, ok := w.leaving[name]
	if !ok {
		w.leaving[name] = now.Add(draining)
		return false
	}
	return !now.Before(until)
}

// leave marks the names whose wait is over, and answers when the next one's will
// be, or the zero time.
func (w *watch) leave(now time.Time) (next time.Time) {
	for name, until := range w.leaving {
		switch {
		case !now.Before(until):
			w.mark(name)
		case next.IsZero() || until.Before(next):
			next = until
		}
	}
	return next
}
