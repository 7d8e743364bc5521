package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Limits is how many certificates one identity may get; zero fields are defaults.
// A node that restarts with 50 pods of one account is served at once; so is a
// deployment of any size whose accounts differ.
type Limits struct {
	// PerSecond is how many an identity may go on getting; default 5.
	PerSecond float64
	// Burst is how many it may get at once; default 50.
	Burst int
	// PerDay is how many it may get from midnight to midnight UTC; default 20,000.
	PerDay int
}

// Defaults of Limits.
const (
	DefaultPerSecond = 5
	DefaultBurst     = 50
	DefaultPerDay    = 20_000
)

// IssuedSince counts the certificates that the ledger holds of an identity since a
// time; [*ledger.Ledger].CountSince is one.
type IssuedSince func(ctx context.Context, spiffeID string, since time.Time) (int, error)

func (l Limits) validated() (Limits, error) {
	if l.PerSecond < 0 || l.Burst < 0 || l.PerDay < 0 {
		return Limits{}, errors.New("a limit of certificates is negative")
	}
	if l.PerSecond == 0 {
		l.PerSecond = DefaultPerSecond
	}
	if l.Burst == 0 {
		l.Burst = DefaultBurst
	}
	if l.PerDay == 0 {
		l.PerDay = DefaultPerDay
	}
	return l, nil
}

// refill is how long an empty bucket takes to fill.
func (l Limits) refill() time.Duration {
	return time.Duration(float64(l.Burst) / l.PerSecond * float64(time.Second))
}

// limitError refuses an identity that has reached a limit.
type limitError struct {
	reason reason
	label  string // as Outcome has it
	text   string
	// retry is the earliest time to come back, from now.
	retry time.Duration
}

// reason is the label of a limit. Values are stable.
type reason string

const (
	reasonRate reason = "rate"
	reasonDay  reason = "day"
)

// Error implements error.
func (e *limitError) Error() string { return e.text }

func (l Limits) tooFast() error {
	wait := max(retryAfter, time.Duration(float64(time.Second)/l.PerSecond))
	return &limitError{
		reason: reasonRate, label: "shed_account", retry: wait,
		text: fmt.Sprintf("this identity asks for too many certificates: it may get %g a second and %d at once, try again in %s", l.PerSecond, l.Burst, wait),
	}
}

func (l Limits) spent(now time.Time) error {
	next := dayOf(now).Add(24 * time.Hour)
	return &limitError{
		reason: reasonDay, label: "shed_day", retry: next.Sub(now),
		text: fmt.Sprintf("this identity has had the %d certificates that it may get a day: try again after %s, or ask who runs ensignd to raise the limit",
			l.PerDay, next.Format(time.RFC3339)),
	}
}
