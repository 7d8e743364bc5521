package vault

import (
	"context"
	"errors"
	"sync"
	"time"
)

// health is what is known of Vault without asking it.
type health struct {
	mu                  sync.Mutex
	credential, signing error // of the last try; nil if it went well
	expires             time.Time
}

// loggedIn takes how the last login or renewal went.
func (h *health) loggedIn(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !errors.Is(err, context.Canceled) {
		h.credential = err
	}
	if err == nil && (errors.Is(h.signing, ErrSealed) || errors.Is(h.signing, ErrUnreachable)) {
		h.signing = nil // Vault is there again
	}
}

// signed takes how the last signature went.
func (h *health) signed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !errors.Is(err, context.Canceled) {
		h.signing = err
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

func (h *health) problem() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.signing != nil {
		return h.signing
	}
	return h.credential
}

func (h *health) tokenEnd() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expires
}
