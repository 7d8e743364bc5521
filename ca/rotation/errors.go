package rotation

import "errors"

var (
	// ErrBusy: a rotation runs already; of two callers one acts.
	ErrBusy = errors.New("a rotation of the root runs already")
	// ErrNone: there is no rotation that this could be done to.
	ErrNone = errors.New("no rotation of the root runs")
	// ErrRefused: it can't be done, for the reason and with the cure in the text.
	ErrRefused = errors.New("refused")
	// ErrForgotten: bundle.pem holds a root that the ledger does not know, or lacks the one
	// that signs by it.
	ErrForgotten = errors.New("the ledger tells of other roots than workloads live on")
)
