package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// quota counts the certificates of one identity on one day. What was issued before
// this process began, the ledger knows.
type quota struct {
	mu    sync.Mutex
	day   time.Time // zero before the ledger was asked
	taken int
}

// dayOf is the midnight, in UTC, that a day begins with.
func dayOf(now time.Time) time.Time { return now.UTC().Truncate(24 * time.Hour) }

// take counts one certificate and answers the day that it counts for. Errors are a
// [*limitError], or wrap [ca.ErrLedger].
func (q *quota) take(ctx context.Context, spiffeID string, limits Limits, issued IssuedSince) (day time.Time, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if today := dayOf(now); !q.day.Equal(today) {
		n, err := issued(ctx, spiffeID, today)
		if err != nil {
			return time.Time{}, fmt.Errorf("%w: counting the certificates of %s: %w", ca.ErrLedger, spiffeID, err)
		}
		q.day, q.taken = today, n
	}
	if q.taken >= limits.PerDay {
		return time.Time{}, limits.spent(now)
	}
	q.taken++
	return q.day, nil
}

// giveBack uncounts a certificate that was not made.
func (q *quota) giveBack(day time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.day.Equal(day) {
		q.taken--
	}
}

// of says whether anything of this day is counted.
func (q *quota) of(day time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.day.Equal(day)
}
