package revocation

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/identity"
)

// history is any sequence of issuances and acts, and what it must come to, worked out
// by going through all of it for each certificate.
type history struct {
	*world
	svids       []issued
	acts        []Act
	quarantined map[string]bool
	names       []string
}

type issued struct {
	serial, issuer string
	parents        []string
	caller         identity.Caller
	index          int
}

// issue is for whom the register admits; who is revoked is not, and asks in vain.
func (h *history) issue(r *rapid.T) {
	name, pod := rapid.SampledFrom(h.names).Draw(r, "account"), rapid.SampledFrom([]string{"", "p-1", "p-2"}).Draw(r, "pod")
	caller, s := token(name, pod), issued{issuer: rapid.SampledFrom([]string{"a", "b"}).Draw(r, "issuer")}
	if h.RevokedIssuer(s.issuer) {
		return // the CA asks that between Admit and done
	}
	caller.IssuedAt = time.Now().Add(time.Hour) // what tokens must be is tested elsewhere
	if len(h.svids) > 0 && rapid.Bool().Draw(r, "renews") {
		from := rapid.SampledFrom(h.svids).Draw(r, "from")
		caller, s.parents = by(from.caller, from.serial), append(slices.Clone(from.parents), from.serial)
	}
	want := error(nil)
	if len(s.parents) > 0 && h.revoked(h.find(caller.Serial)) {
		want = identity.ErrRevoked
	}
	if h.quarantined[caller.Account.String()] {
		want = identity.ErrQuarantined
	}
	s.index, s.caller = len(h.entries), caller
	var err error
	if s.serial, err = h.world.issue(caller, s.issuer, time.Hour); !errors.Is(err, want) {
		r.Fatalf("%+v: admitted: %v, want %v", caller, err, want)
	}
	if err == nil {
		h.svids = append(h.svids, s)
	}
}

func (h *history) find(serial string) issued {
	return h.svids[slices.IndexFunc(h.svids, func(s issued) bool { return s.serial == serial })]
}

func (h *history) act(r *rapid.T) {
	verb := rapid.SampledFrom([]Verb{Revoke, Revoke, Quarantine, Release}).Draw(r, "verb")
	to := Target{ServiceAccount, "shop/" + rapid.SampledFrom(h.names).Draw(r, "account")}
	if rapid.Bool().Draw(r, "as ID") {
		to = Target{ID, to.account(td)}
	}
	if verb == Revoke {
		switch rapid.IntRange(0, 3).Draw(r, "kind") {
		case 0:
			to = Target{Pod, "shop/" + rapid.SampledFrom([]string{"p-1", "p-2"}).Draw(r, "pod")}
		case 1:
			to = Target{IssuerSerial, rapid.SampledFrom([]string{"a", "b"}).Draw(r, "issuer")}
		case 2:
			to = Target{Serial, fmt.Sprintf("%x", rapid.IntRange(0x101, 0x101+len(h.svids)).Draw(r, "serial"))}
		}
	}
	a, _, err := h.Do(h.t.Context(), "uid:0", verb, to, "")
	switch {
	case errors.Is(err, ErrNobody):
		return
	case err != nil:
		r.Fatal(err)
	case verb != Revoke:
		h.quarantined[to.account(td)] = verb == Quarantine
	}
	h.acts = append(h.acts, a)
}

// revoked: some act covers it, or one of those that it was renewed from.
func (h *history) revoked(s issued) bool {
	for _, a := range h.acts {
		hit := map[Kind]bool{
			Serial:         a.Target.Value == s.serial || slices.Contains(s.parents, a.Target.Value),
			IssuerSerial:   a.Target.Value == s.issuer,
			Pod:            s.index < int(a.Index) && a.Target.Value == "shop/"+s.caller.Pod,
			ID:             s.index < int(a.Index) && a.Target.Value == s.caller.Account.String(),
			ServiceAccount: s.index < int(a.Index) && a.Target.Value == "shop/"+s.caller.Account.Name,
		}
		if a.Verb == Revoke && hit[a.Target.Kind] {
			return true
		}
	}
	return false
}

func (h *history) check(r *rapid.T) {
	l, _ := h.Current()
	listed := map[string]Certificate{}
	for _, c := range l.Certificates {
		if _, twice := listed[c.Serial]; twice {
			r.Fatalf("%s is in the list twice", c.Serial)
		}
		listed[c.Serial] = c
	}
	for _, s := range h.svids {
		revoked, quarantined := h.revoked(s), h.quarantined[s.caller.Account.String()]
		c, in := listed[s.serial]
		if in != (revoked || quarantined) || in && c.Quarantined == revoked {
			r.Fatalf("%+v: listed %v (%+v), revoked %v, in quarantine %v", s, in, c, revoked, quarantined)
		}
		if err := h.Proof(by(s.caller, s.serial)); (err != nil) != revoked {
			r.Fatalf("%s proves something: %v, revoked %v", s.serial, err, revoked)
		}
		delete(listed, s.serial)
	}
	if len(listed) > 0 {
		r.Fatalf("listed, and never issued: %v", listed)
	}
	h.restart()
	if again, _ := h.Current(); !reflect.DeepEqual(l, again) {
		r.Fatalf("after a restart\n%+v\nbefore\n%+v", again, l)
	}
}

func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := &history{world: newWorld(t), quarantined: map[string]bool{}, names: []string{"reviews", "ratings"}}
		h.issuer("a", day)
		h.issuer("b", day)
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			if rapid.IntRange(0, 2).Draw(r, "step") == 0 {
				h.act(r)
			} else {
				h.issue(r)
			}
		}
		h.check(r)
	})
}
