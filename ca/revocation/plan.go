package revocation

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Plan is what an act would do.
type Plan struct {
	// Certificates are the live SVIDs that it would cut off, or let back in.
	Certificates []Certificate
	// Warnings are what it would not do though one may think so, for people.
	Warnings []string
}

// Plan says what [Register.Do] would do, and does nothing. Errors are those of Do.
func (r *Register) Plan(ctx context.Context, v Verb, t Target) (Plan, error) {
	a := Act{Index: planned, Time: time.Now(), Actor: "plan", Verb: v, Target: t}
	if err := a.check(r.cfg.TrustDomain); err != nil {
		return Plan{}, err
	}
	r.turn.Lock()
	defer r.turn.Unlock()
	f, err := r.read(ctx, a.Time, a)
	if err != nil {
		return Plan{}, err
	}
	if err := f.somebody(a); err != nil {
		return Plan{}, err
	}
	if v == Release {
		l, _ := r.Current()
		return f.planRelease(l, a), nil
	}
	p := Plan{Warnings: f.warnings(a)}
	for _, h := range f.hits(a) {
		p.Certificates = append(p.Certificates, certificate(h, a))
	}
	return p, nil
}

// planRelease is about a list in which the quarantine still stands.
func (f *facts) planRelease(l *List, a Act) Plan {
	id, p, revoked := a.Target.account(f.td), Plan{}, 0
	for _, c := range l.Certificates {
		switch {
		case c.SPIFFEID != id:
		case c.Quarantined:
			p.Certificates = append(p.Certificates, c)
		default:
			revoked++
		}
	}
	if revoked > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d live SVIDs of %s are revoked as well, and stay so", revoked, id))
	}
	return p
}

func (f *facts) warnings(a Act) []string {
	hits := f.hits(a)
	switch a.Target.Kind {
	case Pod:
		if n := f.unbound(hits); n > 0 {
			return []string{fmt.Sprintf("%d live SVIDs of the pod's account are bound to no pod: this does not hit them, nor tokens that are bound to none", n)}
		}
		if len(hits) == 0 {
			return []string{fmt.Sprintf("no live SVID is bound to %s: this hits only tokens bound to it that were made until now", a.Target)}
		}
	case IssuerSerial:
		return []string{"every SVID of this issuer is refused from then on: its holders are out until they come with a token"}
	case ID, ServiceAccount:
		if len(hits) == 0 && a.Verb == Revoke {
			return []string{fmt.Sprintf("no SVID of %s lives: this hits only its tokens made until now", a.Target)}
		}
	}
	return nil
}

// unbound counts the live SVIDs that are bound to no pod, of the accounts of those hit.
func (f *facts) unbound(hits []hit) int {
	var accounts []string
	count := 0
	for _, h := range hits {
		if slices.Contains(accounts, h.Entry.SPIFFEID) {
			continue
		}
		accounts = append(accounts, h.Entry.SPIFFEID)
		for _, r := range f.byAccount[h.Entry.SPIFFEID] {
			if r.Entry.Pod == "" {
				count++
			}
		}
	}
	return count
}
