package rotation

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// lateWithin is how soon an SVID is renewed that leads to a root which nobody trusts
// any more: of an instance that was away.
const lateWithin = 10 * time.Second

// state is where everything stands after some entries of the ledger. It is immutable
// once it is folded.
type state struct {
	// revision is the index, plus one, of the last entry that counts.
	revision uint64
	roots    []*anchor // oldest first
	links    []link    // all, oldest first
	run      *run      // the rotation that runs, or the last; nil: there never was one
	// sequence is that of what is trusted, earlier the one before it.
	sequence, earlier uint64
}

// run is one rotation.
type run struct {
	id, actor string
	options   Options
	from, to  *anchor // to is nil while it is prepared
	step      Step
	since     time.Time // when the step began
	// resumed is when the step began, or went on after a pause.
	resumed  time.Time
	paused   bool
	reversed bool
	outcome  string
	// skipped are the names that this step's gate may be passed without, and since when.
	skipped  map[string]time.Time
	timeline []record
}

// link is a certificate for the key of root to, signed by root from.
type link struct {
	from, to *anchor
	cert     *x509.Certificate
}

// The outcomes.
const (
	running    = "running"
	completed  = "completed"
	rolledBack = "rolled-back"
)

// running is the rotation that runs, or nil.
func (s *state) running() *run {
	if s.run == nil || s.run.outcome != running {
		return nil
	}
	return s.run
}

// stand says which roots are trusted, and which of them signs.
func (s *state) stand() (trusted []*anchor, signing *anchor) {
	r := s.run
	switch {
	case r == nil:
		return s.roots[:1], s.roots[0]
	case r.step == Preparing || r.to == nil:
		return []*anchor{r.from}, r.from
	case r.step == Distributing:
		return []*anchor{r.from, r.to}, r.from
	case r.step == Activating:
		return []*anchor{r.from, r.to}, r.to
	}
	return []*anchor{r.to}, r.to
}

func (s *state) signing() *anchor {
	_, signing := s.stand()
	return signing
}

func (s *state) find(fingerprint string) *anchor {
	if i := slices.IndexFunc(s.roots, func(a *anchor) bool { return a.fingerprint == fingerprint }); i >= 0 {
		return s.roots[i]
	}
	return nil
}

// renewWithin is how long SVIDs of other roots may take.
func (s *state) renewWithin() time.Duration {
	if r := s.running(); r != nil && r.step == Activating {
		return r.options.Window
	}
	return lateWithin
}

// trustKey is equal for states that trust the same.
func (s *state) trustKey() string {
	if len(s.roots) == 0 {
		return ""
	}
	trusted, signing := s.stand()
	var text strings.Builder
	for _, a := range trusted {
		text.WriteString(a.fingerprint)
	}
	fmt.Fprintf(&text, " %s %s", signing.fingerprint, s.renewWithin())
	return text.String()
}

// trust is what everybody is to be told. Until an issuer of the new root signs, SVIDs
// are to lead where they were told to before, as far as this process knows: so nobody
// gets another one of the old root in vain.
func (s *state) trust(settled bool, before *Trust, now time.Time) (*Trust, error) {
	trusted, signing := s.stand()
	t := &Trust{Sequence: s.sequence, Root: signing.fingerprint, RenewWithin: s.renewWithin()}
	if r := s.running(); r != nil && r.step == Activating && !settled {
		if t.Root, t.RenewWithin, t.Sequence = r.from.fingerprint, lateWithin, s.earlier; before != nil {
			t.Root, t.RenewWithin, t.Sequence = before.Root, before.RenewWithin, before.Sequence
		}
	}
	var roots []*x509.Certificate
	for _, a := range trusted {
		roots = append(roots, a.root())
	}
	var err error
	if t.Bundle, err = ca.NewBundle(roots...); err != nil {
		return nil, fmt.Errorf("bundling the roots: %w", err)
	}
	for _, l := range s.ways(now) {
		t.Links = append(t.Links, l.cert)
	}
	return t, nil
}

// maxWays bounds the links that are shown: they are in each handshake of ensignd, of
// which an agent looks at 128 certificates. Who was away for longer needs the bundle
// from a person.
const maxWays = 64

// ways are the links by which those who know an earlier root find the one that signs:
// at most one from each root, and none from that one, so that every walk ends there.
// Oldest first; of too many those that are nearest to it.
func (s *state) ways(now time.Time) []link {
	lead := map[*anchor]bool{s.signing(): true}
	var found []int
	for more := true; more; {
		more = false
		for n, l := range slices.Backward(s.links) {
			if len(found) < maxWays && lead[l.to] && !lead[l.from] && !l.from.compromised && !l.to.compromised && now.Before(l.cert.NotAfter) {
				lead[l.from], found, more = true, append(found, n), true
			}
		}
	}
	slices.Sort(found)
	var ways []link
	for _, n := range found {
		ways = append(ways, s.links[n])
	}
	return ways
}

// same says whether two are one and the same word.
func (t *Trust) same(other *Trust) bool {
	return t != nil && other != nil && t.Sequence == other.Sequence && t.Root == other.Root && t.RenewWithin == other.RenewWithin &&
		t.Bundle.Hash() == other.Bundle.Hash() &&
		slices.EqualFunc(t.Links, other.Links, func(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) })
}
