package server

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/identity"
)

func account(name string) identity.ServiceAccount {
	return identity.ServiceAccount{Namespace: "shop", Name: name}
}

// ask makes n calls one after another and counts those that are let in.
func ask(t *testing.T, s *shares, name string, n int) (in int) {
	t.Helper()
	for range n {
		leave, err := s.enter(t.Context(), account(name))
		if err != nil {
			if !errors.Is(err, errGreedy) {
				t.Fatal(err)
			}
			continue
		}
		in++
		leave()
	}
	return in
}

func TestAnAccountHasABurstAndThenARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShares()
		for step, c := range []struct {
			after time.Duration
			want  int
		}{{0, accountBurst}, {0, 0}, {2 * time.Second, 2 * accountRate}, {time.Hour, accountBurst}} {
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

func TestCallsOfOneAccountQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, working, answers := newShares(), make(chan func(), accountCalls), make(chan error, accountCalls)
		ctx, cancel := context.WithCancel(t.Context())
		for range accountBurst {
			go func() {
				leave, err := s.enter(ctx, account("web"))
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
		(<-working)()
		synctest.Wait()
		if len(answers) != accountSlots+1 {
			t.Error("nobody took the slot that became free")
		}
		// The bucket fills again while all are stuck; the queue does not grow on.
		time.Sleep(time.Minute)
		own := s.of[account("web")]
		for range accountBurst {
			go func() {
				if leave, err := s.enter(ctx, account("web")); err == nil {
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
			(<-working)()
		}
		if own.calls != 0 || len(own.slots) != 0 {
			t.Errorf("%d calls and %d slots are left over", own.calls, len(own.slots))
		}
	})
}

func TestIdleAccountsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShares()
		for i := range 1000 {
			ask(t, s, fmt.Sprint("a-", i), 1)
		}
		ask(t, s, "greedy", accountBurst)
		leave, err := s.enter(t.Context(), account("working"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(sweepEvery - time.Second)
		ask(t, s, "greedy", accountBurst)
		time.Sleep(time.Second)
		ask(t, s, "late", 1)
		if len(s.of) != 3 || s.of[account("greedy")] == nil || s.of[account("working")] == nil {
			t.Errorf("%d are remembered, want greedy, working, late", len(s.of))
		}
		leave()
	})
}
