package rotation

import "time"

// why is what keeps an instance from being ready.
type why uint8

const (
	ready       why = iota
	gone            // the mesh has it no more
	silent          // there is no report at all
	clockOff        // its clock is too far from ours
	tooEarly        // by its clock the new root is not valid yet
	otherBundle     // its Envoy has not acknowledged the bundle of the step
	otherTrust      // it has such a bundle, by the word of another step
	unrenewed       // it lives on a root that is to go
	unproven        // it has an SVID of the new root, and its Envoy has not acknowledged that
	away            // it is not connected (of a plan)
)

// question is what a step asks of every instance.
type question struct {
	// revision is that of the state that asks.
	revision uint64
	step     Step
	now      time.Time
	// since is when the step began, started when this process began to look.
	since, started time.Time
	// bundle is the hash that Envoys are to acknowledge, sequence that of the Trust which
	// tells it, to the root that SVIDs are to lead to, from is that root's first moment.
	bundle, to string
	sequence   uint64
	from       time.Time
	// after is how long an instance must have been silent to be passed over; 0: never.
	after   time.Duration
	skipped map[string]time.Time
}

// ask is the question of a state.
func (s *state) ask(t *Trust, now, started time.Time) *question {
	r := s.run
	q := &question{revision: s.revision, step: r.step, now: now, since: r.since, started: started, bundle: t.Bundle.Hash(), sequence: t.Sequence, skipped: r.skipped}
	if r.to != nil {
		q.to, q.from = r.to.fingerprint, r.to.notBefore()
	}
	switch p := r.options.Laggards; {
	case p.Policy == SkipOffline:
		q.after = p.After
	case p.Policy == Abort && r.reversed && r.step == Retiring:
		// Nobody lives on the other root: who is away may trust it for longer, and
		// should not hold up everybody for whose sake it went back.
		q.after = p.After
	}
	return q
}

// judge is pure, and allocates nothing: there may be ten thousand.
func (q *question) judge(i *Instance) why {
	if i.Gone {
		return gone
	}
	if i.Report == nil {
		return silent
	}
	switch q.step {
	case Activating:
		return q.livesOn(i)
	case Preparing: // what a plan asks
		return q.starts(i)
	case Distributing:
		if w := q.clock(i.Report); w != ready {
			return w
		}
	}
	switch {
	case i.Report.AckedBundle != q.bundle:
		return otherBundle
	case i.Report.TrustSequence != q.sequence:
		// The same roots were, or will be, those of another step, and other ones between.
		// No clock tells: a report may wait anywhere before it is stored. A later
		// sequence is that of another ledger, which was lost.
		return otherTrust
	}
	return ready
}

// starts is what a plan asks: who is not where everybody should be now follows no step
// after it.
func (q *question) starts(i *Instance) why {
	switch w := q.clock(i.Report); {
	case w != ready:
		return w
	case !i.Connected:
		return away
	case i.Report.AckedBundle != q.bundle:
		return otherBundle
	case i.Report.TrustSequence == 0:
		return otherTrust
	}
	return ready
}

// clock wants SVIDs of the new root to be valid where the instance is.
func (q *question) clock(r *Report) why {
	switch {
	case r.Skew > MaxSkew || r.Skew < -MaxSkew:
		return clockOff
	case q.now.Add(r.Skew).Before(q.from):
		return tooEarly
	}
	return ready
}

// livesOn wants every SVID that does not lead to the new root to be superseded: by a
// later one of the same instance, which does, and which its Envoy has acknowledged.
func (q *question) livesOn(i *Instance) why {
	acked := i.acked()
	renewed := false
	for n := range i.SVIDs {
		s := &i.SVIDs[n]
		if s.Root == q.to {
			renewed = true
			continue
		}
		if acked == nil || acked.Root != q.to || acked.Index < s.Index {
			if q.newer(i, s.Index) {
				return unproven
			}
			return unrenewed
		}
	}
	if !renewed {
		return unrenewed // the population has no instance without an SVID
	}
	if acked == nil {
		return unproven
	}
	return ready
}

// acked is the live SVID that the instance's Envoy has acknowledged; nil if that is none of them.
func (i *Instance) acked() *SVID {
	for n := range i.SVIDs {
		if s := &i.SVIDs[n]; i.Report != nil && s.Serial == i.Report.AckedSerial {
			return s
		}
	}
	return nil
}

// newer says whether the instance has an SVID of the new root, later than one.
func (q *question) newer(i *Instance, index uint64) bool {
	for n := range i.SVIDs {
		if s := &i.SVIDs[n]; s.Root == q.to && s.Index > index {
			return true
		}
	}
	return false
}

// passable says whether an instance that is not ready may be passed over: it has given
// no sign of life for long enough. Right after a start nobody is connected, and that
// says nothing about them.
func (q *question) passable(i *Instance, seen time.Time) bool {
	if q.after <= 0 || i.Connected {
		return false
	}
	sign := later(seen, i.lastSign())
	if at, ok := q.skipped[i.Name]; ok && sign.Before(at) {
		return true
	}
	sign = later(sign, q.started)
	if i.Report == nil {
		sign = later(sign, q.since)
	}
	return q.now.Sub(sign) >= q.after
}

// lastSign is when the instance was last heard of: it reported, or got an SVID.
func (i *Instance) lastSign() (last time.Time) {
	if i.Report != nil {
		last = i.Report.ReceivedAt
	}
	for n := range i.SVIDs {
		last = later(last, i.SVIDs[n].IssuedAt)
	}
	return last
}

// until is when the last of its SVIDs ends, and it is waited for no more.
func (i *Instance) until() (end time.Time) {
	for n := range i.SVIDs {
		end = later(end, i.SVIDs[n].NotAfter)
	}
	return end
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
