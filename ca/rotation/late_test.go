package rotation

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestALateReportPassesNoGate: an Envoy had the bundle with both roots once, in this very
// rotation, and has the new one alone now. What was written down then and is stored only
// when both are distributed again says nothing about now.
func TestALateReportPassesNoGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(2)...)
		defer p.stop()
		first := p.Signing()
		f.set(0, func(p *pod) { p.delay = time.Minute })
		if err := p.Begin(t.Context(), "uid:0", Options{Window: time.Second}); err != nil || !p.await(t.Context(), at(Retiring)) {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second) // it has the new bundle, and has not said so
		both := -1
		f.set(0, func(p *pod) {
			p.stuck = true
			both = len(p.said) - 1
		})
		if err := p.Rollback(t.Context(), "uid:0", ""); err != nil || !p.await(t.Context(), at(Distributing)) {
			t.Fatal(err)
		}
		trust, _ := p.Trust()
		f.set(0, func(p *pod) {
			if p.bundle == trust.Bundle.Hash() || p.said[both].AckedBundle != trust.Bundle.Hash() {
				t.Fatalf("its Envoy has %s, it says %+v", p.bundle, p.said[both])
			}
			p.late(both)
		})
		time.Sleep(time.Hour)
		s, _, _ := p.Status(t.Context())
		if s.Rotation.Step != Distributing || len(s.Rotation.Gate.Laggards) != 1 || s.Rotation.Gate.Laggards[0].Name != f.pods[0].Name {
			t.Fatalf("%+v", s.Rotation)
		}
		f.set(0, func(p *pod) { p.stuck, p.delay = false, 0 })
		go f.obey(t.Context(), 0, f.told())
		if !p.await(t.Context(), ended) || !p.Signing().Equal(first) {
			t.Errorf("%v", w.verbs())
		}
	})
}
