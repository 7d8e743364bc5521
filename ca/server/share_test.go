package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/identity"
)

func account(name string) identity.ServiceAccount {
	return identity.ServiceAccount{TrustDomain: td, Namespace: "shop", Name: name}
}

// calls is a caller who proves that account by a token.
func calls(name string) identity.Caller {
	return identity.Caller{Account: account(name), Proof: identity.ProofToken}
}

// none is a ledger without certificates.
func none(context.Context, string, time.Time) (int, error) { return 0, nil }

func testShares(t *testing.T, limits Limits, issued IssuedSince) *shares {
	t.Helper()
	limits, err := limits.validated()
	if err != nil {
		t.Fatal(err)
	}
	return newShares(limits, issued, nil)
}

// ask makes n calls one after another and counts those that are let in.
func ask(t *testing.T, s *shares, name string, n int) (in int) {
	t.Helper()
	for range n {
		leave, err := s.enter(t.Context(), calls(name))
		if err != nil {
			if !errors.As(err, new(*limitError)) {
				t.Fatal(err)
			}
			continue
		}
		in++
		leave(true)
	}
	return in
}

func TestAnAccountHasABurstAndThenARate(t *testing.T) {
	for _, limits := range []Limits{{PerSecond: 5, Burst: 50}, {PerSecond: 0.5, Burst: 3}} {
		synctest.Test(t, func(t *testing.T) {
			s := testShares(t, limits, none)
			for step, c := range []struct {
				after time.Duration
				want  int
			}{{0, limits.Burst}, {0, 0}, {2 * time.Second, int(2 * limits.PerSecond)}, {time.Hour, limits.Burst}} {
				time.Sleep(c.after)
				if got := ask(t, s, "web", 200); got != c.want {
					t.Errorf("step %d: %d let in, want %d", step, got, c.want)
				}
				if got := ask(t, s, fmt.Sprint("other-", step), 1); got != 1 {
					t.Errorf("step %d: another account was refused", step)
				}
			}
		})
	}
}

func TestCallsOfOneAccountQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, working, answers := testShares(t, Limits{}, none), make(chan func(bool), accountCalls), make(chan error, accountCalls)
		ctx, cancel := context.WithCancel(t.Context())
		for range DefaultBurst {
			go func() {
				leave, err := s.enter(ctx, calls("web"))
				if err == nil {
					working <- leave
				}
				answers <- err
			}()
		}
		synctest.Wait()
		if len(working) != accountSlots || len(answers) != accountSlots {
			t.Fatalf("%d at work, %d answered, want %d", len(working), len(answers), accountSlots)
		}
		(<-working)(true)
		synctest.Wait()
		if len(answers) != accountSlots+1 {
			t.Error("nobody took the slot that became free")
		}
		// The bucket fills again while all are stuck; the queue does not grow on.
		time.Sleep(time.Minute)
		own := s.of[account("web")]
		for range DefaultBurst {
			go func() {
				if leave, err := s.enter(ctx, calls("web")); err == nil {
					working <- leave
				}
			}()
		}
		synctest.Wait()
		if own.calls != accountCalls {
			t.Errorf("%d at work or waiting, want %d", own.calls, accountCalls)
		}
		cancel()
		synctest.Wait()
		for len(working) > 0 {
			(<-working)(true)
		}
		if own.calls != 0 || len(own.slots) != 0 {
			t.Errorf("%d calls and %d slots are left over", own.calls, len(own.slots))
		}
	})
}

// TestADayHasItsLimit: what the ledger holds of the day counts after a restart,
// what was not issued does not count, and midnight begins anew.
func TestADayHasItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins at midnight UTC
		limits, held := Limits{PerSecond: 1000, Burst: 1000, PerDay: 10}, map[time.Time]int{}
		issued := func(_ context.Context, id string, since time.Time) (int, error) {
			if id != account("web").String() {
				t.Errorf("the ledger is asked for %s", id)
			}
			return held[since], nil
		}
		time.Sleep(18 * time.Hour)
		held[dayOf(time.Now())] = 7
		s := testShares(t, limits, issued)
		for range 5 {
			leave, err := s.enter(t.Context(), calls("web"))
			if err != nil {
				t.Fatal(err)
			}
			leave(false)
		}
		if got := ask(t, s, "web", 20); got != 3 {
			t.Errorf("%d let in beside the 7 of the ledger, want 3", got)
		}
		_, err := s.enter(t.Context(), calls("web"))
		var limit *limitError
		if !errors.As(err, &limit) || limit.reason != reasonDay || limit.retry != 6*time.Hour || !strings.Contains(err.Error(), "2000-01-02T00:00:00Z") {
			t.Errorf("%v, want when to come back", err)
		}
		time.Sleep(6 * time.Hour)
		if got := ask(t, s, "web", 20); got != 10 {
			t.Errorf("%d let in on the next day, want 10", got)
		}
	})
}

func TestWithoutTheLedgersCountNothingIsLetIn(t *testing.T) {
	broken := func(context.Context, string, time.Time) (int, error) { return 0, errors.New("disk") }
	s := testShares(t, Limits{}, broken)
	if _, err := s.enter(t.Context(), calls("web")); !errors.Is(err, ca.ErrLedger) {
		t.Errorf("%v", err)
	}
	if own := s.of[account("web")]; own.calls != 0 || len(own.slots) != 0 || own.quota.taken != 0 {
		t.Errorf("left behind: %d calls, %d slots, %d taken", own.calls, len(own.slots), own.quota.taken)
	}
}

// TestIdleAccountsAreForgotten a day later: until then their count is known.
func TestIdleAccountsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testShares(t, Limits{}, none)
		for i := range 1000 {
			ask(t, s, fmt.Sprint("a-", i), 1)
		}
		leave, err := s.enter(t.Context(), calls("working"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(24*time.Hour - time.Second)
		if ask(t, s, "greedy", DefaultBurst); len(s.of) != 1002 {
			t.Errorf("%d are remembered on the same day, want all", len(s.of))
		}
		time.Sleep(11 * time.Second)
		ask(t, s, "late", 1)
		if len(s.of) != 2 || s.of[account("working")] == nil {
			t.Errorf("%d are remembered, want working and late", len(s.of))
		}
		leave(true)
	})
}
