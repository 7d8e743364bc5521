package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/identity"
)

// renews is a call that proves the account by an SVID.
func renews(name, serial string) identity.Caller {
	return identity.Caller{Account: account(name), Proof: identity.ProofSVID, Serial: serial}
}

// rotating is a rotation to a root that asks for the SVIDs whose serials begin with "old".
func rotating(t *testing.T, limits Limits, root *atomic.Value) *shares {
	t.Helper()
	limits, err := limits.validated()
	if err != nil {
		t.Fatal(err)
	}
	return newShares(limits, none, func(_ context.Context, serial string) string {
		if len(serial) > 3 && serial[:3] == "old" {
			return root.Load().(string)
		}
		return ""
	})
}

// TestARotationRenewsADeploymentOfAnySize: 1,000 pods of one account within 30 s, each
// once; what they ask for beside that has the account's limits.
func TestARotationRenewsADeploymentOfAnySize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pods = 1000
		var root atomic.Value
		root.Store("r2")
		s := rotating(t, Limits{PerDay: 100}, &root)
		round := func(repeat, want int) {
			t.Helper()
			var in int
			for n := range pods {
				for range repeat {
					leave, err := s.enter(t.Context(), renews("web", fmt.Sprint("old-", n)))
					if err == nil {
						in++
						leave(true)
					}
				}
				time.Sleep(30 * time.Millisecond)
			}
			if in != want {
				t.Errorf("%d let in, want %d", in, want)
			}
		}
		round(1, pods)
		round(1, 100) // again with the same proofs: they have had theirs, and the day has its limit
		root.Store("r3")
		round(2, pods) // another rotation
		if got := ask(t, s, "other", 1); got != 1 {
			t.Error("another account was refused")
		}
	})
}

// TestARenewalThatCameToNothingIsNotSpent, also with more at once than an account's
// calls may wait.
func TestARenewalThatCameToNothingIsNotSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var root atomic.Value
		root.Store("r2")
		s := rotating(t, Limits{PerSecond: 0.001, Burst: 1, PerDay: 1}, &root)
		for range 3 {
			leave, err := s.enter(t.Context(), renews("web", "old-1"))
			if err != nil {
				t.Fatal(err)
			}
			leave(false)
			time.Sleep(longestPause)
		}
		ctx, cancel := context.WithCancel(t.Context())
		working := make(chan func(bool), 1000)
		for n := range 1000 {
			go func() {
				if leave, err := s.enter(ctx, renews("web", fmt.Sprint("old-", n))); err == nil {
					working <- leave
				} else if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		if len(working) != accountSlots {
			t.Errorf("%d at work, want %d", len(working), accountSlots)
		}
		cancel()
		synctest.Wait()
		for range accountSlots {
			(<-working)(true)
		}
		if own := s.of[account("web")]; own.calls != 0 || len(own.slots) != 0 || taken(s) != accountSlots || own.quota.taken != 0 {
			t.Errorf("left over: %d calls, %d slots, %d renewals, %d of the day", own.calls, len(own.slots), taken(s), own.quota.taken)
		}
	})
}

// taken is how many renewals are at work or were had.
func taken(s *shares) (n int) {
	for _, r := range s.renewals.of {
		if r.taken {
			n++
		}
	}
	return n
}

// TestAnAgentWhoseRenewalsFailKeepsItsExemption: the CA is away for 30 s, and 50 agents of
// one account try again as ours do. None hears of a limit, and all get theirs afterwards.
func TestAnAgentWhoseRenewalsFailKeepsItsExemption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var root atomic.Value
		root.Store("r2")
		s := rotating(t, Limits{PerSecond: 0.001, Burst: 1, PerDay: 1}, &root)
		back := time.Now().Add(30 * time.Second)
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				for wait := 500 * time.Millisecond; ; wait = min(2*wait, 30*time.Second) {
					leave, err := s.enter(t.Context(), renews("web", fmt.Sprint("old-", n)))
					if err != nil {
						t.Error(err)
						return
					}
					issued := !time.Now().Before(back)
					if leave(issued); issued {
						return
					}
					time.Sleep(time.Duration(float64(wait) * (0.5 + 0.5*rand.Float64())))
				}
			})
		}
		all.Wait()
		if late := time.Since(back); late > 30*time.Second || taken(s) != 50 {
			t.Errorf("%d of 50 got theirs, the last %s after the CA was back", taken(s), late)
		}
	})
}

// TestRequestsThatFailAreNotFreeForEver: who sends one after another by an old SVID soon
// has its account's limits, and still its one renewal when it means it.
func TestRequestsThatFailAreNotFreeForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var root atomic.Value
		root.Store("r2")
		s := rotating(t, Limits{PerSecond: 0.0001, Burst: 1}, &root)
		in := 0
		for range 360_000 { // an hour
			if leave, err := s.enter(t.Context(), renews("web", "old-1")); err == nil {
				in++
				leave(false)
			} else if !errors.As(err, new(*limitError)) {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if most := int(time.Hour/longestPause) + 10; in > most {
			t.Errorf("%d of its requests were let in within an hour, want %d at most", in, most)
		}
		time.Sleep(longestPause)
		leave, err := s.enter(t.Context(), renews("web", "old-1"))
		if err != nil {
			t.Fatal(err)
		}
		leave(true)
	})
}

func TestOnlyWhatARotationAsksForIsFree(t *testing.T) {
	var root atomic.Value
	root.Store("r2")
	s := rotating(t, Limits{PerSecond: 0.001, Burst: 1}, &root)
	stolen := renews("web", "old-1")
	stolen.Proof = identity.ProofToken
	for name, caller := range map[string]identity.Caller{"an SVID of the new root": renews("a", "new-1"), "a token": stolen} {
		for n, want := range []bool{true, false} {
			leave, err := s.enter(t.Context(), caller)
			if (err == nil) != want {
				t.Errorf("%s, call %d: %v", name, n, err)
			}
			if err == nil {
				leave(true)
			}
		}
	}
}
