package revocation

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
)

// planned is the index of an act that the ledger does not have.
const planned = math.MaxUint64

// maxText bounds what a person may write into the ledger with an act, in bytes.
const maxText = 1024

// check says whether an act can be done at all. Errors wrap [ErrInvalid].
func (a Act) check(td spiffeid.TrustDomain) error {
	if again, err := ParseTarget(td, string(a.Target.Kind), a.Target.Value); err != nil {
		return err
	} else if again != a.Target {
		return fmt.Errorf("%w: target %.100q is to be spelled %q", ErrInvalid, a.Target, again)
	}
	switch a.Verb {
	case Revoke:
	case Quarantine, Release:
		if a.Target.account(td) == "" {
			return fmt.Errorf("%w: cannot %s a %s, only a SPIFFE ID: revoke it", ErrInvalid, a.Verb, a.Target.Kind)
		}
	default:
		return fmt.Errorf("%w: %.40q is no verb: revoke, quarantine or release", ErrInvalid, a.Verb)
	}
	if a.Actor == "" {
		return fmt.Errorf("%w: an act needs an actor", ErrInvalid)
	}
	for _, text := range []string{a.Actor, a.Reason} {
		if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("%w: actor and reason must be one line of text of at most %d bytes each", ErrInvalid, maxText)
		}
	}
	return nil
}

// entry is what the ledger holds of an act.
func (a Act) entry() ca.Entry {
	return ca.Entry{
		Kind: ca.KindRevocation, Time: a.Time,
		Actor: a.Actor, Verb: string(a.Verb), Object: a.Target.String(), Detail: a.Reason,
	}
}

// actOf reads an entry of the ledger. What this program would not have written is
// an error: to pass over an act would let somebody in who is cut off.
func actOf(td spiffeid.TrustDomain, r ca.Recorded) (Act, error) {
	kind, value, _ := strings.Cut(r.Entry.Object, ":")
	a := Act{
		Index: r.Index, Time: r.Entry.Time.UTC().Truncate(time.Second), Actor: r.Entry.Actor,
		Verb: Verb(r.Entry.Verb), Target: Target{Kind: Kind(kind), Value: value}, Reason: r.Entry.Detail,
	}
	if err := a.check(td); err != nil {
		return Act{}, fmt.Errorf("entry %d of the ledger cuts somebody off in a way that this version does not know (was it written by a newer one?): %w", r.Index, err)
	}
	return a, nil
}
