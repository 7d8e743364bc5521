package vault

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/ensign-mesh/ensign/ca/rotation"
)

// health is what is known of Vault without asking it.
type health struct {
	mu sync.Mutex
	// credential is how the last login or renewal failed; nil if it went well.
	credential *failure
	// looked is how the last look at Vault as a whole failed; nil if it went well.
	looked *failure
	// signing is how each root's last signature failed, by its name.
	signing map[string]*failure
	expires time.Time
}

// failure is what went wrong last, and since when something did without a break.
type failure struct {
	err       error
	at, since time.Time
}

// lately is for how long a Vault that did not answer for one root is taken to be away
// for all: nobody else may ask it for days.
const lately = time.Minute

// away says whether Vault as a whole did not answer, whatever it was asked.
func (f *failure) away() bool { return errors.Is(f.err, ErrSealed) || errors.Is(f.err, ErrUnreachable) }

// next is a failure that comes behind another one; nil: that went well.
func (f *failure) next(err error, now time.Time) *failure {
	if f == nil {
		return &failure{err, now, now}
	}
	return &failure{err, now, f.since}
}

func (f *failure) ailment() error { return &rotation.Ailment{Err: f.err, Since: f.since} }

// loggedIn takes how the last login or renewal went.
func (h *health) loggedIn(err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.credential = nil
		h.there()
	case !errors.Is(err, context.Canceled):
		h.credential = h.credential.next(err, now)
	}
}

// there: Vault has answered, so that it is not away; mu is held.
func (h *health) there() {
	h.looked = nil
	maps.DeleteFunc(h.signing, func(_ string, f *failure) bool { return f.away() })
}

// signed takes how the last signature of a root went.
func (h *health) signed(name string, err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		delete(h.signing, name)
		h.there()
	case !errors.Is(err, context.Canceled):
		if h.signing == nil {
			h.signing = map[string]*failure{}
		}
		h.signing[name] = h.signing[name].next(err, now)
	}
}

// seen takes how the last look at Vault as a whole went.
func (h *health) seen(err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.there()
	case !errors.Is(err, context.Canceled):
		h.looked = h.looked.next(err, now)
	}
}

// failing says whether a signature of any root failed last, or the look at Vault.
func (h *health) failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.signing) > 0 || h.looked != nil
}

// unsigned are the last signatures of roots that failed though Vault was there.
func (h *health) unsigned() map[string]*failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := maps.Clone(h.signing)
	maps.DeleteFunc(out, func(_ string, f *failure) bool { return f.away() })
	return out
}

// recovered forgets how a root's last signature failed, unless another has failed since.
func (h *health) recovered(name string, failed *failure) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.signing[name] == failed {
		delete(h.signing, name)
	}
}

func (h *health) holds(t token) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expires = t.expires
	if t.life == 0 {
		h.expires = time.Time{}
	}
}

// problem is what keeps a root from signing: a [*rotation.Ailment], or nil.
func (h *health) problem(name string, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.signing[name]; f != nil {
		if h.looked != nil && f.away() && h.looked.since.Before(f.since) {
			return h.looked.ailment()
		}
		return f.ailment()
	}
	if h.looked != nil {
		return h.looked.ailment()
	}
	for _, f := range h.signing {
		if f.away() && now.Sub(f.at) < lately {
			return f.ailment()
		}
	}
	if h.credential != nil {
		return h.credential.ailment()
	}
	return nil
}

func (h *health) tokenEnd() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expires
}
