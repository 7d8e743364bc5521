package ledger

import (
	"errors"
	"fmt"
)

// ErrDamaged means that the store is not what it was when its last checkpoint
// was signed: restore it from a backup, and find out who changed it.
var ErrDamaged = errors.New("the ledger is damaged")

// ErrSerial means that a serial is in the ledger already.
var ErrSerial = errors.New("serial was issued before")

// ErrRolledBack means that the store is an older state of itself, e.g. from a
// backup: what was appended since then is missing. It is a kind of [ErrDamaged].
var ErrRolledBack = fmt.Errorf("%w: it was rolled back", ErrDamaged)

// ErrWouldFork means that a backup is not restored, since the log's key has signed
// another history, or a longer one: whoever saw that would call it a fork.
var ErrWouldFork = errors.New("restoring this backup would fork the log")

// ErrIncomplete means that an entry lacks its kind, or an SVID's entry its
// serial, its SPIFFE ID or its end.
var ErrIncomplete = errors.New("entry is incomplete")

// ErrTooLarge means that an entry is over [MaxEntry].
var ErrTooLarge = errors.New("entry is too large for the ledger")

// ErrNotFound means that the ledger holds no such entry.
var ErrNotFound = errors.New("not in the ledger")

func damagef(format string, args ...any) error {
	return fmt.Errorf("%w: "+format+"; restore it from a backup", append([]any{ErrDamaged}, args...)...)
}
