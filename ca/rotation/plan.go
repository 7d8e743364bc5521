package rotation

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Plan says what Begin would do, and does nothing. Its error is that of reading the population.
func (m *Manager) Plan(ctx context.Context, o Options) (Plan, error) {
	s, err := m.catchUp(ctx)
	if s == nil {
		return Plan{}, err
	}
	o, refusal := m.complete(s, o)
	if free := s.free(); free != nil {
		refusal = free
	}
	trust, _ := m.Trust()
	l, err := m.idleLook(ctx, &question{step: Preparing, now: time.Now(), bundle: trust.Bundle.Hash()})
	if err != nil {
		return Plan{}, err
	}
	from := s.signing()
	p := Plan{From: m.rootStatus(s, from, l), Place: o.Via, Refusal: refusal, Steps: m.steps(o, from)}
	if l != nil {
		p.Instances, p.Laggards = len(l.instances), l.laggards()
		for n := range p.Laggards {
			p.Laggards[n].Reason += o.fate(from, p.Laggards[n])
		}
		for n := range l.instances {
			if l.instances[n].Connected {
				p.Connected++
			}
		}
	}
	p.Warnings = append(m.warnings(o, from), o.whoIsLate(l, p.Laggards)...)
	return p, nil
}

// fate is what becomes of a laggard that stays one; "": it is waited for.
func (o Options) fate(from *anchor, l Laggard) string {
	if !o.passesOver(l) {
		return ""
	}
	text := fmt.Sprintf("; it is passed over after %s without a sign of it; it ", o.Laggards.After)
	if o.Compromised || o.unlinked(from, time.Now()) != "" {
		return text + "needs the new bundle from a person then"
	}
	return text + "comes back by itself"
}

// passesOver says whether a laggard that stays as it is holds no gate for ever.
func (o Options) passesOver(l Laggard) bool { return o.Laggards.Policy == SkipOffline && !l.Connected }

// whoIsLate are warnings about instances; l is nil if nobody knows them yet.
func (o Options) whoIsLate(l *look, laggards []Laggard) (all []string) {
	if l == nil {
		return nil
	}
	var broken []string
	for _, one := range laggards {
		if o.Compromised && o.passesOver(one) {
			broken = append(broken, one.Name)
		}
	}
	if len(broken) > 0 {
		all = append(all, fmt.Sprintf("what still holds an SVID of the old root when that is retired is refused by everybody; as things are, that is %d instances: %s", len(broken), list(broken, 5)))
	}
	if l.unverifiable > 0 {
		all = append(all, fmt.Sprintf("of %d instances nothing reports, so that nobody can tell whether they follow: they fall under --laggards", l.unverifiable))
	}
	if l.gone > 0 {
		all = append(all, fmt.Sprintf("%d instances hold live SVIDs though their pods are gone: they are not waited for", l.gone))
	}
	return all
}

func (m *Manager) steps(o Options, from *anchor) []string {
	late := map[Policy]string{
		Wait:        "until they follow or their SVIDs end",
		SkipOffline: fmt.Sprintf("and those that give no sign of life for %s are passed over by name", o.Laggards.After),
		Abort:       fmt.Sprintf("and after %s in one step it rolls back", o.Laggards.After),
	}[o.Laggards.Policy]
	steps := []string{
		fmt.Sprintf("preparing: make a new root in %s; root %s stays as it is", o.Via, from),
		"distributing: everybody is told to trust both; waits for every Envoy to acknowledge both, " + late,
		fmt.Sprintf("activating: the new root signs, SVIDs are renewed within %s; waits until nobody lives on the old root, %s", o.Window, late),
		"retiring: everybody is told to trust the new root alone; waits for every Envoy to acknowledge that, " + late,
	}
	if m.cfg.Visible > 0 {
		steps[1] += fmt.Sprintf("; lasts %s at least, for those who look for themselves, as other trust domains do", m.cfg.Visible)
	}
	if o.Compromised {
		steps[3] = "retiring: the issuers of the old root are revoked and their SVIDs denied; " + steps[3][len("retiring: "):]
	}
	return append(steps, "done: the old root is trusted by nobody")
}

func (m *Manager) warnings(o Options, from *anchor) []string {
	var all []string
	if place := m.cfg.Places[o.Via]; place != nil {
		if err := place.Healthy(""); err != nil {
			all = append(all, fmt.Sprintf("%s can make no root now: %s", o.Via, err))
		}
	}
	if why := o.unlinked(from, time.Now()); why != "" && !o.Compromised {
		all = append(all, "agents that are away until it is done need the new bundle from a person: "+why)
	} else if place := m.cfg.Places[from.place]; why == "" && place != nil && place.Healthy(from.name) != nil {
		all = append(all, fmt.Sprintf("the old root can't vouch for the new one now, and that is waited for; if it is lost, add --without-link: %s", place.Healthy(from.name)))
	}
	if o.Compromised {
		all = append(all,
			"agents that are away until it is done need the new bundle from a person: the old root vouches for nothing any more",
			"there is no way back to the old root")
	}
	return all
}

// idleLook holds the population against a question while no gate asks; nil before Run.
func (m *Manager) idleLook(ctx context.Context, q *question) (*look, error) {
	m.mu.Lock()
	mesh := m.mesh
	m.mu.Unlock()
	if mesh == nil {
		return nil, nil
	}
	instances, _, err := mesh.Instances(ctx)
	if err != nil {
		return nil, errors.Join(errors.New("the population is not known now"), err)
	}
	return q.inspect(instances, nil), nil
}
