package sds

import (
	"context"
	"time"
)

const (
	retryFirst = 500 * time.Millisecond
	retryCap   = 30 * time.Second
	// Between renewals that Refused asked for: one mends what a renewal can mend;
	// where it mends nothing, each would be a certificate for nothing.
	refusedFirst = time.Second
	refusedCap   = 10 * time.Minute
	// A timer follows the monotonic clock, which stands still while a machine
	// sleeps; certificates follow the wall clock. So look at it this often.
	lookAgain = time.Minute
)

// renewAfter is half of what is left at now, give or take a tenth. notBefore does
// not count: it is backdated. r is random in [0,1).
func renewAfter(now, expires time.Time, r float64) time.Duration {
	half := float64(expires.Sub(now)) / 2
	return max(time.Duration(half*(0.9+0.2*r)), time.Second)
}

// retryAfter doubles with each failure up to a cap, half of it random, so that a
// fleet that failed together does not come back together. failures counts from 1.
func retryAfter(failures int, r float64) time.Duration {
	return backOff(retryFirst, retryCap, failures, r)
}

// refusedAfter is how long after a renewal the next one may be asked for, when the
// last so many, counted from 0, were asked for.
func refusedAfter(refusals int, r float64) time.Duration {
	return backOff(refusedFirst, refusedCap, refusals+1, r)
}

func backOff(first, most time.Duration, n int, r float64) time.Duration {
	wait := most
	if n < 16 {
		wait = min(most, first<<(n-1))
	}
	return time.Duration(float64(wait) * (0.5 + 0.5*r))
}

// sleepUntil waits for the wall clock to reach due, or for wake, which may be nil;
// an error is the context's.
func sleepUntil(ctx context.Context, due time.Time, wake <-chan struct{}) (woken bool, err error) {
	due = due.Round(0)
	for left := time.Until(due); left > 0; left = time.Until(due) {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-wake:
			return true, ctx.Err()
		case <-time.After(min(left, lookAgain)):
		}
	}
	return false, ctx.Err()
}
