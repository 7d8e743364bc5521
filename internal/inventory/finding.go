package inventory

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Kind is what is wrong. Values are stable: `--fail-on` takes them.
type Kind string

// The kinds; the package's comment says what they mean.
const (
	Orphan       Kind = "orphan"
	Expiring     Kind = "expiring"
	Unused       Kind = "unused"
	Weak         Kind = "weak"
	Unlogged     Kind = "unlogged"
	RevokedInUse Kind = "revoked-in-use"
	Surge        Kind = "surge"
	Fork         Kind = "fork"
)

// Kinds are all, the gravest first.
var Kinds = []Kind{Unlogged, RevokedInUse, Fork, Orphan, Surge, Expiring, Weak, Unused}

// Finding is one thing that does not fit.
type Finding struct {
	Kind     Kind
	SPIFFEID string
	// Serial of the certificate, lower-case hex; "" if it is about none.
	Serial string
	// Where it shows: NAMESPACE/POD, or "".
	Where string
	// Detail is for people: what was found, and what to do.
	Detail string
	// At is when it was seen or issued.
	At time.Time
}

func sorted(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(slices.Index(Kinds, a.Kind)-slices.Index(Kinds, b.Kind), cmp.Compare(a.SPIFFEID, b.SPIFFEID),
			cmp.Compare(a.Where, b.Where), cmp.Compare(a.Serial, b.Serial), a.At.Compare(b.At))
	})
	return slices.Compact(findings)
}

// In says whether the finding is about a namespace: of its identity or of where it shows.
func (f Finding) In(namespace string) bool {
	account, ok := accountOf(f.SPIFFEID)
	return ok && account.Namespace == namespace || strings.HasPrefix(f.Where, namespace+"/")
}
