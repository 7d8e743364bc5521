package rotation

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestThoseWhoLookForThemselves are in no gate: whatever brings both roots into the
// bundle, it is shown for as long as they may take, also by a process that came later.
func TestThoseWhoLookForThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.visible = 90 * time.Second
		var shown time.Time
		var p *process
		var f *fleet
		activated := 0
		start := func() {
			p, f = w.start(f, names(3)...)
			w.mu.Lock()
			defer w.mu.Unlock()
			shown = time.Now()
			w.onStep = func(v verb, passed []string) {
				f.check(v, passed)
				switch v {
				case distribute, rollback:
					shown = time.Now()
				case activate:
					activated++
					if took := time.Since(shown); took < w.visible {
						t.Errorf("another root signs after %s", took)
					}
				}
			}
		}
		start()
		defer func() { p.stop() }()
		begin := func(o Options) {
			t.Helper()
			if err := p.Begin(t.Context(), "uid:0", o); err != nil || !p.await(t.Context(), at(Distributing)) {
				t.Fatal(err)
			}
		}
		begin(Options{})
		time.Sleep(80 * time.Second)
		if s, _, _ := p.Status(t.Context()); s.Rotation.Step != Distributing || s.Rotation.Gate.Ready != 3 {
			t.Errorf("%+v", s.Rotation)
		}
		p.stop()
		start()
		if !p.await(t.Context(), at(Retiring)) {
			t.Fatalf("%v", w.verbs())
		}
		if err := p.Rollback(t.Context(), "uid:0", ""); err != nil || !p.await(t.Context(), ended) {
			t.Fatalf("%v, %v", err, w.verbs())
		}

		short := Options{Laggards: Laggards{Abort, w.visible}}
		if err := p.Begin(t.Context(), "uid:0", short); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "1m30s") {
			t.Errorf("it could only be aborted: %v", err)
		}
		if plan, err := p.Plan(t.Context(), Options{}); err != nil || !strings.Contains(plan.Steps[1], "lasts 1m30s at least") {
			t.Errorf("%v, %v", plan.Steps, err)
		}
		begin(Options{Laggards: Laggards{Abort, 2 * w.visible}})
		if !p.await(t.Context(), ended) {
			t.Fatalf("%v", w.verbs())
		}
		p.stop()
		w.visible *= 2
		start()
		if err := p.Rollback(t.Context(), "uid:0", ""); err != nil || !p.await(t.Context(), ended) {
			t.Fatalf("%v, %v", err, w.verbs())
		}
		if s, _, _ := p.Status(t.Context()); s.Rotation.Outcome != completed || !s.Roots[0].Signing || activated != 4 {
			t.Errorf("%+v, %d activated", s.Rotation, activated)
		}
	})
}
