package upstream

import "errors"

// ErrUnrecorded means that a root is in force that the ledger does not hold: the
// ledger was emptied, or is another mesh's.
var ErrUnrecorded = errors.New("the ledger lacks the root that is in force")

// ErrLost means that the certificate of the root key, which the ledger shows to
// have been in force, is gone; another one would not be the root that workloads trust.
var ErrLost = errors.New("the root certificate is lost")

// ErrOtherRoot means that a CA was to be imported into a mesh that lives on another root.
var ErrOtherRoot = errors.New("the mesh has another root")
