package rotation

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// telling is a walk through the states of a ledger, with all that was ever told.
type telling struct {
	*history
	told []*Trust
	// settled and before are what a process knows besides the ledger.
	settled bool
	before  *Trust
}

// on takes a step, or starts another process, or settles; then that is told.
func (g *telling) on(r *rapid.T) *state {
	switch rapid.IntRange(0, 4).Draw(r, "what") {
	case 0:
		g.before, g.settled = nil, false // another process
	case 1:
		g.settled = true
	case 2:
		if run := g.state().running(); run != nil {
			g.add(map[bool]verb{false: pause, true: resume}[run.paused])
		}
	default:
		g.any(r)
		g.settled = false
	}
	s := g.state()
	trust, err := s.trust(g.settled, g.before, time.Now())
	if err != nil {
		r.Fatal(err)
	}
	g.before, g.told = trust, append(g.told, trust)
	return s
}

// TestAGateIsPassedByItsOwnTrustAlone: whatever was told before, and whenever a report of
// it is stored, by our clock or another one, no gate for a bundle counts it. One that
// names what is told now is enough, after whatever.
func TestAGateIsPassedByItsOwnTrustAlone(t *testing.T) {
	h := newHistory(t)
	for range 5 {
		h.roots = append(h.roots, newRoot(h.w, "r", time.Hour))
	}
	rapid.Check(t, func(r *rapid.T) {
		own := *h
		g := &telling{history: &own}
		g.add(adopt)
		for range rapid.IntRange(1, 16).Draw(r, "steps") {
			s := g.on(r)
			run, trust := s.running(), g.before
			if run == nil || run.paused || run.step != Distributing && run.step != Retiring {
				continue
			}
			var pods []Instance
			stale := false
			for range rapid.IntRange(1, 3).Draw(r, "pods") {
				said := g.told[rapid.IntRange(0, len(g.told)-1).Draw(r, "said")]
				at := run.since.Add(time.Duration(rapid.IntRange(-7200, 7200).Draw(r, "stored")) * time.Second)
				stale = stale || said.Sequence != trust.Sequence
				pods = append(pods, Instance{Connected: true, Report: &Report{AckedBundle: said.Bundle.Hash(), TrustSequence: said.Sequence, ReceivedAt: at}})
			}
			now := time.Now().Add(time.Hour)
			passed := s.decide(s.ask(trust, now, now).inspect(pods, nil), now, true, true)
			if stale != (len(passed) == 0) {
				r.Fatalf("%s, reports of earlier Trusts: %v, the gate is passed: %v", run.step, stale, len(passed) > 0)
			}
		}
	})
}
