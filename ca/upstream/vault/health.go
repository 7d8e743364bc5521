package vault

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// health is what is known of Vault without asking it.
type health struct {
	mu sync.Mutex
	// credential is how the last login or renewal failed; nil if it went well.
	credential error
	// signing is how each root's last signature failed, by its name.
	signing map[string]failure
	expires time.Time
}

type failure struct {
	err error
	at  time.Time
}

// lately is for how long a Vault that did not answer for one root is taken to be away
// for all: nobody else may ask it for days.
const lately = time.Minute

// away says whether Vault as a whole did not answer, whatever it was asked.
func (f failure) away() bool { return errors.Is(f.err, ErrSealed) || errors.Is(f.err, ErrUnreachable) }

// loggedIn takes how the last login or renewal went.
func (h *health) loggedIn(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !errors.Is(err, context.Canceled) {
		h.credential = err
	}
	if err == nil { // Vault is there again
		maps.DeleteFunc(h.signing, func(_ string, f failure) bool { return f.away() })
	}
}

// signed takes how the last signature of a root went.
func (h *health) signed(name string, err error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		delete(h.signing, name)
		maps.DeleteFunc(h.signing, func(_ string, f failure) bool { return f.away() })
	case !errors.Is(err, context.Canceled):
		if h.signing == nil {
			h.signing = map[string]failure{}
		}
		h.signing[name] = failure{err, now}
	}
}

// failing says whether a signature of any root failed last.
func (h *health) failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.signing) > 0
}

// recovered forgets how signatures failed.
func (h *health) recovered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.signing)
}

func (h *health) holds(t token) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expires = t.expires
	if t.life == 0 {
		h.expires = time.Time{}
	}
}

// problem is what keeps a root from signing.
func (h *health) problem(name string, now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f, failed := h.signing[name]; failed {
		return f.err
	}
	for _, f := range h.signing {
		if f.away() && now.Sub(f.at) < lately {
			return f.err
		}
	}
	return h.credential
}

func (h *health) tokenEnd() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expires
}
