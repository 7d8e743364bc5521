package xds

import (
	"slices"
	"time"
)

// behind says whether the scope changed since the session looked: what refers
// to clusters waits until their changes are seen too. A poke is on its way.
func (s *session) behind() bool {
	_, now, _ := s.scope.view.since(s.scopeSeen)
	return now != s.scopeSeen
}

// mayAdd says whether anything of a kind may be sent now. Listeners and routes
// wait until the clusters that they may name are there with their endpoints;
// filters, which carry verdicts, wait for nothing.
func (s *session) mayAdd(w *watch) bool {
	for _, f := range w.flights {
		if !f.overdue {
			return false
		}
	}
	if w.kind < listener {
		return true
	}
	return !s.watches[cluster].busy() && !s.watches[endpoint].busy()
}

// mayRemove says whether the client can do without a name: what refers to it is
// sent and acknowledged.
func (s *session) mayRemove(w *watch, now time.Time) bool {
	switch w.kind {
	case cluster:
		return s.quiet(now, extension, listener, route, virtualHost)
	case extension, route:
		return s.quiet(now, listener)
	default:
		return true
	}
}

// quiet says whether nothing of these kinds is waiting or unanswered. A client
// that just came back may not have asked for all of them yet.
func (s *session) quiet(now time.Time, kinds ...kind) bool {
	return !slices.ContainsFunc(kinds, func(k kind) bool {
		w := s.watches[k]
		if !w.asked {
			return now.Before(s.settled())
		}
		return w.busy() || len(w.dirty) > 0
	})
}

// comeback is how long a client that came back may take to ask for everything
// that it had; Envoy asks at once.
const comeback = 2 * time.Second

// settled is when a client has asked for all that it will ask for. One that
// brought nothing refers to nothing yet.
func (s *session) settled() time.Time {
	if !s.returning {
		return s.opened
	}
	return s.opened.Add(comeback)
}
