package rotation

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// fold works out where everything stands from all entries of kind rotation, oldest
// first. It is pure: the same entries make the same state, in every process.
func fold(entries []ca.Recorded) (*state, error) {
	s := &state{}
	for _, e := range entries {
		if err := s.take(e); err != nil {
			return nil, fmt.Errorf("entry %d of the ledger is a step of a rotation that does not follow from those before it (was it written by a newer version?): %w", e.Index, err)
		}
	}
	return s, nil
}

// take applies one entry, if it counts.
func (s *state) take(e ca.Recorded) error {
	r, err := recordOf(e)
	if err != nil {
		return err
	}
	if r.Prior < s.revision {
		return nil // another one was faster
	}
	if r.Prior > s.revision {
		return fmt.Errorf("it follows entry %d, which is none of a rotation", r.Prior-1)
	}
	before := s.trustKey()
	if err := s.apply(r); err != nil {
		return err
	}
	s.revision = r.index + 1
	if s.run != nil {
		s.run.timeline = append(s.run.timeline, r)
	}
	if s.trustKey() != before {
		s.earlier, s.sequence = s.sequence, s.revision
	}
	return nil
}

// apply is the machine: what each verb does where.
func (s *state) apply(r record) error {
	run := s.running()
	switch {
	case r.verb == adopt && len(s.roots) == 0 && r.id == "":
		a, err := r.Root.anchor()
		if err == nil {
			s.roots = append(s.roots, a)
		}
		return err
	case r.verb == begin && run == nil && len(s.roots) > 0 && r.id != "" && r.Options != nil:
		return s.begin(r)
	case run == nil || r.id != run.id:
		return fmt.Errorf("%.20q of rotation %.40q, and that does not run", r.verb, r.id)
	}
	switch {
	case r.verb == distribute && run.step == Preparing:
		return s.distribute(r)
	case r.verb == activate && run.step == Distributing:
		run.enter(Activating, r.time)
	case r.verb == retire && run.step == Activating:
		run.enter(Retiring, r.time)
	case r.verb == finish && run.step == Retiring:
		run.enter(Done, r.time)
		if run.outcome = completed; run.reversed {
			run.outcome = rolledBack
		}
	case r.verb == skip:
		for _, n := range r.Names {
			run.skipped[n] = r.time
		}
	case r.verb == pause && !run.paused:
		run.paused = true
	case r.verb == resume && run.paused:
		run.paused, run.resumed = false, r.time
	case r.verb == rollback && !run.reversed:
		return s.rollback(r)
	default:
		return fmt.Errorf("%.20q while the rotation is %s", r.verb, run.step)
	}
	return nil
}

func (s *state) begin(r record) error {
	from := s.signing()
	if r.From != from.fingerprint {
		return fmt.Errorf("a rotation away from root %.12s, and %.12s is in force", r.From, from.fingerprint)
	}
	run := &run{id: r.id, actor: r.actor, options: *r.Options, from: from, outcome: running}
	if r.Root != nil {
		back, err := r.Root.anchor()
		if err != nil {
			return err
		}
		if run.to = s.find(back.fingerprint); run.to == nil {
			return fmt.Errorf("back to root %.12s, which there never was", back.fingerprint)
		}
	}
	run.enter(Preparing, r.time)
	s.run = run
	from.compromised = from.compromised || run.options.Compromised
	return nil
}

func (s *state) distribute(r record) error {
	to, err := r.Root.anchor()
	if err != nil {
		return err
	}
	run := s.run
	known := s.find(to.fingerprint)
	switch {
	case run.to != nil && run.to.fingerprint != to.fingerprint, run.to == nil && known != nil:
		return fmt.Errorf("root %.12s is not the new one", to.fingerprint)
	case known == nil:
		s.roots = append(s.roots, to)
		run.to = to
	}
	run.enter(Distributing, r.time)
	return s.link(run.from, run.to, r.Link)
}

// rollback turns the rotation around, to the step that undoes what was done.
func (s *state) rollback(r record) error {
	run := s.run
	run.reversed, run.paused = true, false
	if run.step == Preparing {
		run.to, run.outcome = nil, rolledBack
		run.enter(Done, r.time)
		return nil
	}
	run.from, run.to = run.to, run.from
	run.enter(map[Step]Step{Distributing: Retiring, Activating: Activating, Retiring: Distributing}[run.step], r.time)
	return s.link(run.from, run.to, r.Link)
}

func (r *run) enter(step Step, at time.Time) {
	r.step, r.since, r.resumed, r.skipped = step, at, at, map[string]time.Time{}
}

// link takes the way from one root to another; no DER: there is none.
func (s *state) link(from, to *anchor, der []byte) error {
	if len(der) == 0 {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("parsing its link: %w", err)
	}
	if err := checkLink(cert, from, to); err != nil {
		return err
	}
	s.links = append(s.links, link{from, to, cert})
	return nil
}
