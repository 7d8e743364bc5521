package sds

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRenewalIsWithinTheMiddle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := time.Duration(rapid.Int64Range(int64(10*time.Second), int64(90*24*time.Hour)).Draw(t, "life"))
		r := rapid.Float64Range(0, 0.999).Draw(t, "r")
		now := time.Now()
		wait := renewAfter(now, now.Add(life), r)
		if wait < life*44/100 || wait > life*56/100 {
			t.Fatalf("a life of %s is renewed after %s", life, wait)
		}
	})
}

func TestAnExpiredOneIsRenewedSoonButNotAtOnce(t *testing.T) {
	now := time.Now()
	if wait := renewAfter(now, now.Add(-time.Hour), 0.5); wait != time.Second {
		t.Errorf("%s", wait)
	}
}

func TestRetriesStayBelowTheCap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		failures := rapid.IntRange(1, 1<<40).Draw(t, "failures")
		r := rapid.Float64Range(0, 0.999).Draw(t, "r")
		wait := retryAfter(failures, r)
		if wait < retryFirst/2 || wait > retryCap {
			t.Fatalf("after %d failures: %s", failures, wait)
		}
		if next := retryAfter(failures+1, r); next < wait {
			t.Fatalf("after %d failures %s, then %s", failures, wait, next)
		}
	})
}
