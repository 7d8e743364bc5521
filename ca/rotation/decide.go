package rotation

import "time"

// dwell is how long a step is told before its gate is looked at: what was on its way
// into the ledger when it was told is there by then.
const dwell = time.Second

// decide says what the machine does next of itself: the entries to write, none if it
// waits. It is pure. done: what the step itself has to do is done, and was told for
// long enough; able: the root that would sign next can.
func (s *state) decide(l *look, now time.Time, done, able bool) []record {
	r := s.running()
	if r == nil || r.paused {
		return nil
	}
	if next := map[Step]verb{Distributing: activate, Activating: retire, Retiring: finish}[r.step]; next != "" &&
		done && l != nil && l.revision == s.revision && l.passes() && (able || next != activate) {
		records := append(skips(l.over()), record{verb: next})
		for n := range records {
			records[n].actor, records[n].id = ensignd, r.id
		}
		return records
	}
	if p := r.options.Laggards; p.Policy == Abort && !r.reversed && now.Sub(r.resumed) >= p.After {
		return []record{{verb: rollback, actor: ensignd, id: r.id,
			detail: detail{Reason: string(r.step) + " took longer than " + p.After.String()}}}
	}
	return nil
}
