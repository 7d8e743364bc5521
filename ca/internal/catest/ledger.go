package catest

import (
	"context"
	"sync"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// Ledger is a ledger in memory.
type Ledger struct {
	mu      sync.Mutex
	entries []ca.Entry
	err     error
}

// Append implements ca.Ledger.
func (l *Ledger) Append(ctx context.Context, e ca.Entry) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	l.entries = append(l.entries, e)
	return uint64(len(l.entries) - 1), nil
}

// Roots are the entries of roots, as ca/upstream asks for them.
func (l *Ledger) Roots(context.Context) ([]ca.Entry, error) { return l.Entries(ca.KindRoot), nil }

// LiveIssuers are the entries of issuers that are not expired at now.
func (l *Ledger) LiveIssuers(_ context.Context, now time.Time) ([]ca.Recorded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []ca.Recorded
	for n, e := range l.entries {
		if e.Kind == ca.KindIssuer && now.Before(e.NotAfter) {
			found = append(found, ca.Recorded{Index: uint64(n), Entry: e})
		}
	}
	return found, nil
}

// Rotations are the entries about roots, as ca/rotation asks for them.
func (l *Ledger) Rotations(context.Context) ([]ca.Recorded, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []ca.Recorded
	for n, e := range l.entries {
		if e.Kind == ca.KindRotation {
			found = append(found, ca.Recorded{Index: uint64(n), Entry: e})
		}
	}
	return found, nil
}

// Wipe forgets every entry.
func (l *Ledger) Wipe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

// Fail makes every later Append return err, until Fail(nil).
func (l *Ledger) Fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// Entries are those of one kind, in order.
func (l *Ledger) Entries(kind ca.EntryKind) []ca.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []ca.Entry
	for _, e := range l.entries {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}
