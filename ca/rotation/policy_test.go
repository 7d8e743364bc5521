package rotation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// TestLaggardsAreWaitedFor: by name, with reasons, until their SVIDs end.
func TestLaggardsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(5)...)
		defer p.stop()
		f.set(0, func(p *pod) { p.stuck = true })
		f.set(1, func(p *pod) { p.away = true })
		f.set(2, func(p *pod) { p.Report = nil; p.stuck = true })
		f.set(3, func(p *pod) { p.gone = true })
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Hour)
		s, _, err := p.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		g := s.Rotation.Gate
		if g.Name != "new-bundle" || g.Instances != 5 || g.Ready != 1 || g.Gone != 1 || g.Unverifiable != 1 || g.Skipped != 0 || len(g.Laggards) != 3 {
			t.Errorf("%+v", g)
		}
		for n, part := range []string{"has not acknowledged the bundle", "not connected", "foreign agent"} {
			if l := g.Laggards[n]; l.Name != f.pods[n].Name || !strings.Contains(l.Reason, part) || !l.Until.Equal(f.pods[n].SVIDs[0].NotAfter) || l.Unverifiable != (n == 2) {
				t.Errorf("laggard %+v", l)
			}
		}
		if strings.Count(fmt.Sprint(w.verbs()), "skip") != 0 {
			t.Errorf("somebody was passed over: %v", w.verbs())
		}
		f.set(4, func(p *pod) { p.serial = f.issue(p); f.report(p) }) // lives on
		time.Sleep(13 * time.Hour)
		if s, _, _ := p.Status(t.Context()); s.Rotation.Outcome != completed {
			t.Errorf("when their SVIDs have ended: %+v", s.Rotation)
		}
	})
}

// TestSkipOffline passes over the silent, by name, in the ledger, first.
func TestSkipOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(4)...)
		f.set(1, func(p *pod) { p.away = true })
		f.set(2, func(p *pod) { p.Report, p.stuck = nil, true })
		time.Sleep(2 * time.Hour)
		// A restart makes everybody seem away: nobody is passed over for that.
		p.stop()
		p, _ = w.start(f)
		for n := range f.pods {
			f.set(n, func(p *pod) { p.away = true })
		}
		if err := p.Begin(t.Context(), "uid:0", Options{Laggards: Laggards{SkipOffline, time.Hour}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Minute)
		if v := w.verbs(); slices.Contains(v, "skip") || !slices.Contains(v, "distribute") {
			t.Errorf("%v", v)
		}
		for _, n := range []int{0, 3} {
			f.set(n, func(p *pod) { p.away = false; f.report(p) })
			go f.obey(t.Context(), n, f.told())
		}
		if !p.await(t.Context(), at(Activating)) {
			t.Fatal("the silent are waited for")
		}
		p.stop() // and each step begins to wait anew
		p, _ = w.start(f)
		defer p.stop()
		time.Sleep(3 * time.Hour)
		if got, want := fmt.Sprint(w.verbs()), "[adopt begin distribute skip activate skip retire skip finish]"; got != want {
			t.Errorf("the ledger has %s", got)
		}
		s, _, _ := p.Status(t.Context())
		for _, e := range s.Rotation.Timeline {
			if e.Verb == "skip" && (e.Detail != "without shop/pod-01, shop/pod-02" || e.Actor != ensignd) {
				t.Errorf("%+v", e)
			}
		}
	})
}

// TestAbort goes back when a step takes too long, once.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(4)...)
		defer p.stop()
		reached := w.onStep
		w.mu.Lock()
		w.onStep = func(v verb, passed []string) {
			if reached(v, passed); v == activate {
				f.set(1, func(p *pod) { p.stuck = true })
			}
		}
		w.mu.Unlock()
		if err := p.Begin(t.Context(), "uid:0", Options{Window: time.Minute, Laggards: Laggards{Policy: Abort}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + slack - time.Second)
		if v := w.verbs(); v[len(v)-1] != "activate" {
			t.Errorf("too early: %v", v)
		}
		time.Sleep(time.Hour)
		s, _, _ := p.Status(t.Context())
		r := s.Rotation
		if !r.Reversed || r.Step != Retiring || !strings.Contains(fmt.Sprint(r.Timeline), "rollback ensignd activating took longer than 6m0s") {
			t.Errorf("%+v", r)
		}
		f.set(1, func(p *pod) { p.stuck = false })
		go f.obey(t.Context(), 1, f.told())
		if !p.await(t.Context(), ended) {
			t.Error("it does not end")
		}
	})
}

// TestAbortWhileNothingWorks: neither a place that answers nothing nor an issuer that
// does not come keeps it from going back.
func TestAbortWhileNothingWorks(t *testing.T) {
	for action, want := range map[string]string{
		"make":   "[adopt begin rollback]",
		"settle": "[adopt begin distribute activate rollback retire finish]",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			p, f := w.start(nil, names(4)...)
			defer p.stop()
			w.mu.Lock()
			w.refuse = func(a string) error {
				if a == action && !slices.ContainsFunc(w.entries, func(e ca.Entry) bool { return e.Verb == "rollback" }) {
					return errors.New("away")
				}
				return nil
			}
			w.mu.Unlock()
			if err := p.Begin(t.Context(), "uid:0", Options{Via: Vault, Laggards: Laggards{Abort, 5 * time.Minute}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(4 * time.Minute)
			if s, _, _ := p.Status(t.Context()); !strings.Contains(s.Rotation.Problem, "away") {
				t.Errorf("%s: the problem is %q", action, s.Rotation.Problem)
			}
			time.Sleep(10 * time.Minute)
			if got := fmt.Sprint(w.verbs()); got != want {
				t.Errorf("%s: the ledger has %s", action, got)
			}
			f.each(func(p *pod) {
				if len(p.SVIDs) != 1 {
					t.Errorf("%s: %s was told to renew, and nobody could sign", action, p.Name)
				}
			})
		})
	}
}

// TestASickPlace is not activated.
func TestASickPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, _ := w.start(nil, names(4)...)
		defer p.stop()
		w.setSick(Vault, errors.New("sealed"))
		if err := p.Begin(t.Context(), "uid:0", Options{Via: Vault}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if s, _, _ := p.Status(t.Context()); s.Rotation.Step != Distributing || !strings.Contains(s.Rotation.Problem, "sealed") || s.Rotation.Gate.Ready != 4 || p.Healthy() != nil {
			t.Errorf("%+v", s.Rotation)
		}
		w.setSick(Vault, nil)
		if !p.await(t.Context(), ended) {
			t.Error("it does not go on")
		}
		w.setSick(Vault, errors.New("sealed"))
		if err := p.Healthy(); err == nil {
			t.Error("the place of the root that signs is sealed, and nobody hears of it")
		}
	})
}

// TestCompromised: the old root vouches for nothing, its issuers are revoked before it is
// gone, silence is waited for a minute, and nothing goes back.
func TestCompromised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(4)...)
		defer p.stop()
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil || !p.await(t.Context(), ended) {
			t.Fatal(err)
		}
		if trust, _ := p.Trust(); len(trust.Links) != 1 {
			t.Errorf("%d links", len(trust.Links))
		}
		stolen := ca.Fingerprint(p.Signing())
		f.set(1, func(p *pod) { p.away = true })
		if err := p.Begin(t.Context(), "uid:0", Options{Compromised: true, Reason: "stolen"}); err != nil {
			t.Fatal(err)
		}
		if trust, _ := p.Trust(); len(trust.Links) != 0 {
			t.Errorf("the stolen root is still vouched for")
		}
		for range 5 {
			time.Sleep(500 * time.Millisecond)
			if err := p.Rollback(t.Context(), "uid:0", ""); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "compromised") {
				t.Errorf("back to the stolen root: %v", err)
			}
		}
		if !p.await(t.Context(), ended) {
			t.Fatalf("%v", w.verbs())
		}
		s, _, _ := p.Status(t.Context())
		trust, _ := p.Trust()
		if s.Rotation.Options.Window != hurry || !slices.Contains(w.verbs(), "skip") || !slices.Equal(f.revoked, []string{stolen}) || len(trust.Links) != 0 {
			t.Errorf("%+v, revoked %v, %d links", s.Rotation, f.revoked, len(trust.Links))
		}
		if took := s.Rotation.Since.Sub(s.Rotation.Timeline[0].Time); took > 5*time.Minute {
			t.Errorf("it took %s", took)
		}
		if err := p.Rollback(t.Context(), "uid:0", ""); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "compromised") {
			t.Errorf("back to the stolen root: %v", err)
		}
	})
}

func (w *world) setSick(place string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sick[place] = err
}

// TestAbortForWhoIsAway: the one for whose sake it went back does not hold up the end of
// it for as long as its SVID lives: everybody is on the old root again.
func TestAbortForWhoIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(4)...)
		defer p.stop()
		f.set(1, func(p *pod) { p.away = true })
		if err := p.Begin(t.Context(), "uid:0", Options{Laggards: Laggards{Abort, 5 * time.Minute}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Minute)
		if got, want := fmt.Sprint(w.verbs()), "[adopt begin distribute rollback skip finish]"; got != want {
			t.Errorf("the ledger has %s", got)
		}
		if s, _, _ := p.Status(t.Context()); s.Rotation.Outcome != rolledBack || !strings.Contains(fmt.Sprint(s.Rotation.Timeline), "without shop/pod-01") {
			t.Errorf("%+v", s.Rotation)
		}
	})
}
