package sds_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/sds"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// moved is a source that was told, an hour after it began, to live under another root
// within a window of ten minutes.
func moved(t *testing.T, s *signer, source *sds.Source) (next *sdstest.Authority, told time.Time) {
	t.Helper()
	next = sdstest.New(t)
	time.Sleep(time.Hour)
	trust := pushed(7, s.authority, next)
	trust.RenewWithin = 10 * time.Minute
	if err := source.Follow(trust); err != nil {
		t.Fatal(err)
	}
	return next, time.Now()
}

// A fleet that is told of another root renews all over the window, once each.
func TestRenewalsAreSpreadOverTheWindow(t *testing.T) {
	early, late := 0, 0
	for range 30 {
		s := &signer{}
		bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
			first := live(t, source)
			next, told := moved(t, s, source)
			s.answers(next, s.authority, next)
			synctest.Wait()
			if live(t, source) != first {
				t.Log("at once") // one in some hundreds
			}
			time.Sleep(10 * time.Minute)
			asked := s.attempts()
			if len(asked) != 2 {
				t.Fatalf("%d attempts", len(asked))
			}
			switch after := asked[1].Sub(told); {
			case after < 5*time.Minute:
				early++
			case after <= 10*time.Minute:
				late++
			}
			time.Sleep(2 * time.Hour)
			if n := len(s.attempts()); n != 2 {
				t.Errorf("%d attempts", n)
			}
		})
	}
	if early+late != 30 || early < 3 || late < 3 {
		t.Errorf("%d in the first half of the window, %d in the second", early, late)
	}
}

// Hearing the same again, as with each new stream, does not put the moment off; a
// shorter window brings it forward.
func TestTheWindowBeginsWhenTheRootIsFirstHeardOf(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		next, told := moved(t, s, source)
		s.answers(next, s.authority, next)
		again := pushed(7, s.authority, next)
		again.RenewWithin, again.First = 10*time.Minute, true
		for time.Since(told) < 10*time.Minute {
			time.Sleep(10 * time.Second)
			if err := source.Follow(again); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(s.attempts()); n != 2 {
			t.Errorf("%d attempts", n)
		}
	})
	s = &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		next, _ := moved(t, s, source)
		s.answers(next, s.authority, next)
		again := pushed(8, s.authority, next)
		again.RenewWithin = time.Second
		if err := source.Follow(again); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if n := len(s.attempts()); n != 2 {
			t.Errorf("%d attempts", n)
		}
	})
}

// A renewal that fails is repeated as usual; one that leads to the old root still, as
// when the CA is not there yet, with patience.
func TestARenewalThatDoesNotHelpIsRepeatedWithPatience(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		next, _ := moved(t, s, source)
		s.set(func([]byte) ([]string, error) { return nil, errors.New("away") })
		time.Sleep(20 * time.Minute)
		if n := len(s.attempts()); n < 20 || n > 80 {
			t.Errorf("%d attempts while the CA is away", n)
		}
		if problems, _ := source.Problems(); problems.Renewal == "" || problems.Trust != "" {
			t.Errorf("%+v", problems)
		}
		before := len(s.attempts())
		s.answers(s.authority, s.authority, next)
		time.Sleep(time.Hour)
		if n := len(s.attempts()) - before; n < 8 || n > 30 {
			t.Errorf("%d renewals in an hour that lead to the old root", n)
		}
		s.answers(next, s.authority, next)
		time.Sleep(11 * time.Minute)
		done := len(s.attempts())
		time.Sleep(3 * time.Hour)
		if n := len(s.attempts()); n != done {
			t.Errorf("%d attempts after it has led to the new root", n-done)
		}
	})
}

// An SVID that leads to none of the roots is renewed at once, and told of until then.
func TestAStraySVIDIsRenewedSoon(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		next := sdstest.New(t)
		both := pushed(1, next, s.authority)
		if err := source.Follow(both); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s.takes = time.Second
		s.answers(next, next)
		late := pushed(2, next)
		late.RenewWithin = time.Hour
		if err := source.Follow(late); err != nil {
			t.Fatal(err)
		}
		if problems, _ := source.Problems(); problems.Trust == "" {
			t.Error("nobody is told")
		}
		time.Sleep(2 * time.Second)
		if problems, _ := source.Problems(); problems != (sds.Problems{}) || len(s.attempts()) != 2 {
			t.Errorf("%+v after %d attempts", problems, len(s.attempts()))
		}
	})
}

// Renew is heard at once, though at most once in 5 seconds, and between retries too.
func TestRenewIsAtOnceAndNotMoreThanEvery5s(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		time.Sleep(time.Hour)
		source.Renew()
		synctest.Wait()
		if n := len(s.attempts()); n != 2 {
			t.Fatalf("%d attempts", n)
		}
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			source.Renew()
		}
		if n := len(s.attempts()); n < 13 || n > 14 {
			t.Errorf("%d attempts in a minute of asking", n)
		}
		time.Sleep(10 * time.Second)
		s.set(func([]byte) ([]string, error) { return nil, errors.New("away") })
		source.Renew()
		time.Sleep(10 * time.Minute)
		asked := s.attempts()
		time.Sleep(6*time.Second - time.Since(asked[len(asked)-1]))
		before := len(s.attempts())
		source.Renew()
		synctest.Wait()
		if n := len(s.attempts()); n != before+1 {
			t.Errorf("%d attempts, then %d: it waits for the retry", before, n)
		}
	})
}

// One rotation after another: each renewal mends what it was for, so none makes the
// next one wait longer.
func TestRotationsThatFollowOneAnotherFindNoLessPatience(t *testing.T) {
	s := &signer{}
	bubble(t, s, 24*time.Hour, func(t *testing.T, source *sds.Source) {
		from := s.authority
		for n := range uint64(8) {
			next := sdstest.New(t)
			trust := pushed(7+n, from, next)
			trust.RenewWithin = time.Second
			time.Sleep(5 * time.Second)
			s.answers(next, from, next)
			if err := source.Follow(trust); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if got := len(s.attempts()); got != int(n)+2 {
				t.Fatalf("%d attempts after %d rotations", got, n+1)
			}
			from = next
		}
	})
}
