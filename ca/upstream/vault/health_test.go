package vault

import (
	"errors"
	"testing"
	"time"
)

// TestARootThatCannotSignIsNoReasonAgainstAnother: else nothing could go back from it.
func TestARootThatCannotSignIsNoReasonAgainstAnother(t *testing.T) {
	var h health
	now := time.Now()
	h.signed("ensign-2", ErrDenied, now)
	if err := h.problem("ensign-2", now); !errors.Is(err, ErrDenied) {
		t.Errorf("the root that was denied: %v", err)
	}
	if err := h.problem("ensign-1", now); err != nil {
		t.Errorf("the root beside it: %v", err)
	}
	h.loggedIn(nil)
	if err := h.problem("ensign-2", now); !errors.Is(err, ErrDenied) {
		t.Errorf("a login cures no denial: %v", err)
	}
	h.signed("ensign-2", ErrSealed, now)
	for name, want := range map[string]error{"ensign-1": ErrSealed, "ensign-2": ErrSealed} {
		if err := h.problem(name, now.Add(lately/2)); !errors.Is(err, want) {
			t.Errorf("%s of a sealed vault: %v", name, err)
		}
	}
	if err := h.problem("ensign-1", now.Add(lately)); err != nil {
		t.Errorf("it was sealed a while ago: %v", err)
	}
	h.signed("ensign-1", nil, now)
	if err := h.problem("ensign-2", now); err != nil {
		t.Errorf("it has signed since: %v", err)
	}
	h.loggedIn(ErrUnreachable)
	for _, name := range []string{"ensign-1", "ensign-2", ""} {
		if err := h.problem(name, now); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%q without a token: %v", name, err)
		}
	}
}
