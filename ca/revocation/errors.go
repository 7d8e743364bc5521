package revocation

import "errors"

var (
	// ErrInvalid: the act cannot be read, or its parts do not go together.
	ErrInvalid = errors.New("no such act")
	// ErrNobody: the ledger knows of nobody whom the act could hit.
	ErrNobody = errors.New("nobody to act on")
	// ErrLists: an act is in the ledger, or may be, and who is cut off could not be
	// worked out from there. No SVID is issued until it can; that is tried again
	// and again.
	ErrLists = errors.New("who is cut off is not known now")
)
