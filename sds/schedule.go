package sds

import (
	"context"
	"time"
)

const (
	retryFirst = 500 * time.Millisecond
	retryCap   = 30 * time.Second
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
	wait := retryCap
	if failures < 8 {
		wait = min(retryCap, retryFirst<<(failures-1))
	}
	return time.Duration(float64(wait) * (0.5 + 0.5*r))
}

// sleepUntil waits for the wall clock to reach due; an error is the context's.
func sleepUntil(ctx context.Context, due time.Time) error {
	due = due.Round(0)
	for left := time.Until(due); left > 0; left = time.Until(due) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(left, lookAgain)):
		}
	}
	return ctx.Err()
}
