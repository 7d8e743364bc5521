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

// ErrTooLarge means that an entry is over [MaxEntry].
var ErrTooLarge = errors.New("entry is too large for the ledger")

func damagef(format string, args ...any) error {
	return fmt.Errorf("%w: "+format+"; restore it from a backup", append([]any{ErrDamaged}, args...)...)
}
