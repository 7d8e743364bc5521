package rotation

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// reach goes to a step and stops there, since one pod does not follow.
func reach(t *testing.T, w *world, p *process, f *fleet, step Step) {
	t.Helper()
	if step == Distributing {
		f.set(0, func(p *pod) { p.stuck = true })
	}
	if step == Activating || step == Retiring {
		w.mu.Lock()
		check := w.onStep
		w.onStep = func(v verb, passed []string) {
			check(v, passed)
			if v == map[Step]verb{Activating: activate, Retiring: retire}[step] {
				f.set(0, func(p *pod) { p.stuck = true })
			}
		}
		w.mu.Unlock()
	}
	if !p.await(t.Context(), at(step)) {
		t.Fatalf("%s is not reached", step)
	}
	synctest.Wait()
}

// TestRollbackFromEveryStep: the same machine in reverse, through the same gates.
func TestRollbackFromEveryStep(t *testing.T) {
	for step, want := range map[Step]string{
		Preparing:    "begin rollback",
		Distributing: "begin distribute rollback finish",
		Activating:   "begin distribute activate rollback retire finish",
		Retiring:     "begin distribute activate retire rollback activate retire finish",
		Done:         "begin distribute activate retire finish begin distribute activate retire finish",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			if step == Preparing {
				w.refuse = func(action string) error {
					if action == "make" && len(w.roots) > 0 {
						return errors.New("vault is sealed")
					}
					return nil
				}
			}
			p, f := w.start(nil, names(5)...)
			defer p.stop()
			first := ca.Fingerprint(p.Signing())
			if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil {
				t.Fatal(err)
			}
			reach(t, w, p, f, step)
			time.Sleep(20 * time.Second)
			if step == Preparing {
				if s, _, _ := p.Status(t.Context()); !strings.Contains(s.Rotation.Problem, "vault is sealed") {
					t.Errorf("the problem is %q", s.Rotation.Problem)
				}
			}
			if err := p.Rollback(t.Context(), "uid:0", "it is broken"); err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			w.mu.Lock()
			w.onStep = f.check
			w.mu.Unlock()
			f.set(0, func(p *pod) { p.stuck, p.delay = false, 0 })
			go f.obey(t.Context(), 0, f.told())
			if !p.await(t.Context(), ended) {
				s, _, _ := p.Status(t.Context())
				t.Fatalf("%s: %+v", step, s.Rotation)
			}
			if got := strings.Join(w.verbs()[1:], " "); got != want {
				t.Errorf("%s: the ledger has %s", step, got)
			}
			w.checkBack(t, p, f, first, step)
		})
	}
}

func (f *fleet) told() *Trust {
	trust, _ := f.process.Trust()
	return trust
}

// checkBack says whether all is as it was at first.
func (w *world) checkBack(t *testing.T, p *process, f *fleet, first string, step Step) {
	t.Helper()
	s, _, err := p.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	outcome := rolledBack
	if step == Done {
		outcome = completed
	}
	trust, _ := p.Trust()
	if s.Rotation.Outcome != outcome || trust.Root != first || len(trust.Bundle.Roots()) != 1 || ca.Fingerprint(p.Signing()) != first || s.Rotation.Problem != "" {
		t.Errorf("%s: %+v, trust %+v", step, s.Rotation, trust)
	}
	f.each(func(p *pod) {
		if p.bundle != trust.Bundle.Hash() || p.SVIDs[len(p.SVIDs)-1].Root != first {
			t.Errorf("%s: %s lives on another root", step, p.Name)
		}
	})
	if links := len(trust.Links); links != map[Step]int{Retiring: 1, Done: 1}[step] {
		t.Errorf("%s: %d links", step, links)
	}
	// And it can go on from there.
	if err := p.Begin(t.Context(), "uid:0", Options{}); step != Preparing && (err != nil || !p.await(t.Context(), func(r *Rotation) bool { return r.Outcome == completed && r.From == first })) {
		t.Errorf("%s: after the rollback: %v", step, err)
	}
}

// TestTwoAtOnce: of two callers one acts, and the other hears what runs.
func TestTwoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, _ := w.start(nil, names(3)...)
		defer p.stop()
		results := make(chan error, 10)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { results <- p.Begin(t.Context(), "uid:0", Options{}) })
		}
		all.Wait()
		begun := 0
		for range 10 {
			if err := <-results; err == nil {
				begun++
			} else if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "begun by uid:0") {
				t.Error(err)
			}
		}
		if begun != 1 || !p.await(t.Context(), ended) {
			t.Errorf("%d began", begun)
		}
	})
}

// TestTwoProcesses on one ledger, which nothing should let happen: the first entry counts,
// and the other process says so.
func TestTwoProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(3)...)
		defer p.stop()
		other, err := Open(t.Context(), w.config())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil {
			t.Fatal(err)
		}
		if err := other.Begin(t.Context(), "uid:1", Options{}); !errors.Is(err, ErrBusy) {
			t.Errorf("the second began too: %v", err)
		}
		if !p.await(t.Context(), ended) {
			t.Fatal("it does not end")
		}
		f.each(func(p *pod) {
			if p.SVIDs[len(p.SVIDs)-1].Root != f.told().Root {
				t.Errorf("%s was left behind", p.Name)
			}
		})
	})
}

// TestNobodyIsTheWholePopulation: an empty mesh passes, one that cannot be read never does.
func TestNobodyIsTheWholePopulation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil)
		defer p.stop()
		f.mu.Lock()
		f.fail = errors.New("the ledger cannot be read")
		f.mu.Unlock()
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s, _, err := p.Status(t.Context())
		if err != nil || s.Rotation.Step != Distributing || !strings.Contains(s.Rotation.Problem, "the ledger cannot be read") {
			t.Errorf("%+v, %v", s.Rotation, err)
		}
		f.mu.Lock()
		f.fail = nil
		f.mu.Unlock()
		if !p.await(t.Context(), ended) {
			t.Error("an empty mesh is waited for")
		}
	})
}

// TestPause: nothing goes on, over a restart too; a rollback lifts it.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(3)...)
		if err := errors.Join(p.Begin(t.Context(), "uid:0", Options{Laggards: Laggards{Policy: Abort}}), p.Pause(t.Context(), "uid:0", "lunch")); err != nil {
			t.Fatal(err)
		}
		if err := p.Pause(t.Context(), "uid:0", ""); !errors.Is(err, ErrRefused) {
			t.Errorf("paused twice: %v", err)
		}
		p.stop()
		p, _ = w.start(f)
		defer p.stop()
		time.Sleep(24 * time.Hour)
		before := len(w.verbs())
		if s, _, _ := p.Status(t.Context()); !s.Rotation.Paused || before > 4 {
			t.Errorf("%+v %v", s.Rotation, w.verbs())
		}
		if err := p.Resume(t.Context(), "uid:0", ""); err != nil {
			t.Fatal(err)
		}
		if err := p.Resume(t.Context(), "uid:0", ""); !errors.Is(err, ErrRefused) {
			t.Errorf("resumed twice: %v", err)
		}
		for i := range f.pods { // their SVIDs ended meanwhile, and they have others
			f.set(i, func(p *pod) { p.serial = f.issue(p); f.report(p) })
		}
		if !p.await(t.Context(), ended) {
			t.Fatal("it does not go on")
		}
		if s, _, _ := p.Status(t.Context()); s.Rotation.Outcome != completed {
			t.Errorf("the pause counted against the policy: %v", w.verbs())
		}
		if err := p.Pause(t.Context(), "uid:0", ""); !errors.Is(err, ErrNone) {
			t.Errorf("paused what has ended: %v", err)
		}
	})
}

// TestTheBundleFile has the roots before anybody is told of them.
func TestTheBundleFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(3)...)
		defer p.stop()
		file := filepath.Join(w.dir, "bundle.pem")
		ctx, cancel := context.WithCancel(t.Context())
		var watch sync.WaitGroup
		watch.Go(func() {
			for ctx.Err() == nil {
				trust, changed := p.Trust()
				if text, err := os.ReadFile(file); err != nil || string(text) != trust.Bundle.PEM() {
					t.Errorf("told of %s, and the file is another", trust.Bundle.Hash())
				}
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}
		})
		old, _ := os.ReadFile(file)
		w.mu.Lock()
		w.onStep = func(v verb, passed []string) {
			if f.check(v, passed); v != distribute {
				return
			}
			// A disk that takes nothing: a folder stands where the file is to be.
			if err := errors.Join(os.Remove(file), os.MkdirAll(filepath.Join(file, "x"), 0o700)); err != nil {
				t.Error(err)
			}
		}
		w.mu.Unlock()
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s, _, err := p.Status(t.Context())
		if err != nil || s.Rotation.Step != Distributing || !strings.Contains(s.Rotation.Problem, "bundle.pem") || len(s.Trust.Bundle.Roots()) != 1 {
			t.Errorf("%+v, %v", s.Rotation, err)
		}
		if err := errors.Join(os.RemoveAll(file), os.WriteFile(file, old, 0o644)); err != nil {
			t.Fatal(err)
		}
		if !p.await(t.Context(), ended) || len(f.pods) != 3 {
			t.Error("it does not go on")
		}
		cancel()
		watch.Wait()
	})
}

// TestTheScheduledOne begins when the root is old enough, and not again before its time.
func TestTheScheduledOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.every = 3 * 24 * time.Hour
		p, _ := w.start(nil)
		defer p.stop()
		time.Sleep(2 * 24 * time.Hour)
		if len(w.verbs()) != 1 {
			t.Fatalf("too early: %v", w.verbs())
		}
		time.Sleep(24*time.Hour + time.Hour)
		s, _, _ := p.Status(t.Context())
		if s.Rotation == nil || s.Rotation.Outcome != completed || s.Rotation.Actor != ensignd {
			t.Fatalf("%v", w.verbs())
		}
		time.Sleep(6*24*time.Hour + 2*time.Hour)
		if begun := len(slices.DeleteFunc(w.verbs(), func(v string) bool { return v != "begin" })); begun != 3 {
			t.Errorf("%d rotations in 9 days", begun)
		}
	})
}
