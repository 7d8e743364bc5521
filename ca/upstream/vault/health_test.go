package vault

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/ca/rotation"
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
	h.loggedIn(nil, now)
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
	h.loggedIn(ErrUnreachable, now)
	for _, name := range []string{"ensign-1", "ensign-2", ""} {
		if err := h.problem(name, now); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%q without a token: %v", name, err)
		}
	}
}

// TestSinceWhenVaultIsUnwell: since the first of those failures that nothing good lies between.
func TestSinceWhenVaultIsUnwell(t *testing.T) {
	var h health
	at := func(minutes int) time.Time { return time.Unix(0, 0).Add(time.Duration(minutes) * time.Minute) }
	want := func(name string, now int, why error, since int) {
		t.Helper()
		var a *rotation.Ailment
		if err := h.problem(name, at(now)); !errors.As(err, &a) || !errors.Is(err, why) || !a.Since.Equal(at(since)) {
			t.Errorf("at %d %s is unwell for %v", now, name, err)
		}
	}
	h.loggedIn(ErrDenied, at(0))
	h.loggedIn(ErrDenied, at(1))
	want("ensign-1", 2, ErrDenied, 0)
	h.seen(ErrUnreachable, at(3))
	h.seen(ErrSealed, at(4))
	want("ensign-1", 5, ErrSealed, 3)
	want("", 500, ErrSealed, 3)
	h.signed("ensign-1", ErrSealed, at(6))
	want("ensign-1", 6, ErrSealed, 3)
	h.seen(nil, at(7))
	want("ensign-1", 7, ErrDenied, 0)
	h.signed("ensign-1", ErrRefused, at(8))
	h.signed("ensign-1", ErrRefused, at(9))
	h.seen(ErrUnreachable, at(10))
	want("ensign-1", 10, ErrRefused, 8)
	want("ensign-2", 10, ErrUnreachable, 10)
	h.loggedIn(nil, at(11))
	h.signed("ensign-1", nil, at(12))
	if err := h.problem("ensign-1", at(12)); err != nil || h.failing() {
		t.Errorf("all is well, but for %v", err)
	}
}

// TestVaultIsLookedAfter though nobody needs it for days: sealed, gone and back are seen
// within a minute, and what is said says what to do.
func TestVaultIsLookedAfter(t *testing.T) {
	s := newSet(t)
	s.cfg.Timeout = 3 * time.Second
	first := s.first(t)
	c := first.place.daily
	for _, bad := range []struct {
		begin, end func()
		want       error
		says       string
	}{
		{func() { s.vault.Seal(t) }, func() { s.vault.Unseal(t) }, ErrSealed, "unseal it"},
		{func() { s.vault.Kill(t) }, func() { s.vault.Run(t) }, ErrUnreachable, "start it"},
	} {
		if c.look(t.Context()); first.place.Healthy(first.name) != nil {
			t.Fatal(first.place.Healthy(first.name))
		}
		bad.begin()
		c.look(t.Context())
		if err := first.place.Healthy(first.name); !errors.Is(err, bad.want) || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("got %v, want %v", err, bad.want)
		}
		bad.end()
		if c.look(t.Context()); first.place.Healthy(first.name) != nil {
			t.Error(first.place.Healthy(first.name))
		}
	}
}
