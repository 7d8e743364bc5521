package report

import (
	"fmt"
	"slices"
	"strings"
)

// Obedience is how far an agent and its Envoy follow what is cut off.
type Obedience struct {
	// Revision is that of the list that live connections were held against;
	// CRLRevision that of the CRLs that Envoy acknowledged.
	Revision    uint64 `json:"revision"`
	CRLRevision uint64 `json:"crl_revision"`
	// Method is how connections are ended here: "pidfd", "sock_destroy", "drain" or "none".
	Method string `json:"method"`
	// Open connections that are to end and have not yet; Cut have ended.
	Open uint32 `json:"open"`
	Cut  uint64 `json:"cut"`
	// Error is why something could not be done, cut to 1 KiB.
	Error string `json:"error,omitempty"`
}

// LedgerSeen is the newest checkpoint that an agent proved to grow from its last.
type LedgerSeen struct {
	Size uint64 `json:"size"`
	// Root is lower-case hex.
	Root string `json:"root"`
	// Fork holds a signed checkpoint that contradicts this one; "" if there was none.
	Fork string `json:"fork,omitempty"`
}

// methods are the ways in which an agent ends a connection.
var methods = []string{"pidfd", "sock_destroy", "drain", "none"}

func (o *Obedience) check() error {
	if o == nil {
		return nil
	}
	if !slices.Contains(methods, o.Method) {
		return fmt.Errorf("%w: %.40q is no way to end a connection", ErrInvalid, o.Method)
	}
	return nil
}

func (l *LedgerSeen) check() error {
	if l == nil {
		return nil
	}
	if len(l.Root) != maxHex || strings.Trim(l.Root, hexDigits) != "" {
		return fmt.Errorf("%w: the root %.70q of the ledger is not 64 digits of lower-case hex", ErrInvalid, l.Root)
	}
	return nil
}
