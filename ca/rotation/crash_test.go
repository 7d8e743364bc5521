package rotation

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// TestCrashBetweenEveryTwoActions kills the process before and after each thing that it
// does to the world, from the first start to the end of a rotation, and starts another
// one: each time the rotation ends as it would have, with one new root, and no gate is
// passed early.
func TestCrashBetweenEveryTwoActions(t *testing.T) {
	seen := map[string]bool{}
	for kill := range 100 {
		dead := false
		for _, after := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.killAt, w.after = kill, after
				dead = w.live(t, Options{Via: Vault})
				if dead {
					seen[w.actions[kill]] = true
				}
			})
		}
		if !dead {
			break
		}
	}
	for _, action := range []string{"append root ", "append rotation adopt", "append rotation begin", "make", "request", "sign",
		"append rotation distribute", "append rotation activate", "settle", "append rotation retire", "append rotation finish"} {
		if !seen[action] {
			t.Errorf("no crash at %q", action)
		}
	}
}

// live goes through a rotation with as many processes as it takes, and says whether one died.
func (w *world) live(t *testing.T, o Options) (dead bool) {
	t.Helper()
	var f *fleet
	for range 5 {
		p, fleet, err := w.tryStart(f, names(5)...)
		if f = fleet; err == nil {
			s, _, _ := p.Status(t.Context())
			if s == nil || s.Rotation == nil {
				err = p.Begin(t.Context(), "uid:0", o)
			}
			if err == nil && !p.await(t.Context(), func(r *Rotation) bool { return ended(r) || w.crashed() }) {
				s, _, _ := p.Status(t.Context())
				t.Fatalf("after %v: %+v", w.actions, s.Rotation)
			}
			p.stop()
		}
		if !w.crashed() {
			if err != nil {
				t.Fatal(err)
			}
			w.check(t, p, f)
			return dead
		}
		dead = true
		w.mu.Lock()
		w.dead, w.killAt = false, -1
		w.mu.Unlock()
		time.Sleep(time.Second)
	}
	t.Fatal("it does not end")
	return dead
}

func (w *world) crashed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// check says whether the world is as after one rotation.
func (w *world) check(t *testing.T, p *process, f *fleet) {
	t.Helper()
	s, _, err := p.Status(t.Context())
	if err != nil || s.Rotation.Outcome != completed || s.Rotation.Problem != "" {
		t.Errorf("%+v, %v", s.Rotation, err)
	}
	if want := []string{"adopt", "begin", "distribute", "activate", "retire", "finish"}; !slices.Equal(w.verbs(), want) {
		t.Errorf("after %v the ledger has %v", w.actions, w.verbs())
	}
	if held, _ := w.Roots(t.Context()); len(held) != 2 || len(w.roots) != 2 {
		t.Errorf("%d roots in the ledger, %d in their places", len(held), len(w.roots))
	}
	trust, _ := p.Trust()
	if trust.Root != s.Rotation.To || len(trust.Bundle.Roots()) != 1 || len(trust.Links) != 1 {
		t.Errorf("%+v", trust)
	}
	f.each(func(p *pod) {
		if p.bundle != trust.Bundle.Hash() || p.SVIDs[len(p.SVIDs)-1].Root != trust.Root || len(p.SVIDs) != 2 {
			t.Errorf("%s: %+v", p.Name, p)
		}
	})
}

// TestAnAppendOfUnknownEnd: the ledger answers an error, and the entry is there all the
// same; or it is written twice.
func TestAnAppendOfUnknownEnd(t *testing.T) {
	for _, step := range []verb{begin, distribute, activate, retire, finish} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			p, f := w.start(nil, names(3)...)
			defer p.stop()
			once := false
			w.mu.Lock()
			w.lose = func(e ca.Entry) error {
				if e.Verb != string(step) || once {
					return nil
				}
				once = true
				return fmt.Errorf("%w: disk", errors.ErrUnsupported)
			}
			w.mu.Unlock()
			if err := p.Begin(t.Context(), "uid:0", Options{}); (err != nil) != (step == begin) {
				t.Fatal(err)
			}
			if !p.await(t.Context(), ended) || !once {
				t.Fatalf("%s: it does not end", step)
			}
			time.Sleep(time.Minute)
			w.check(t, p, f)
		})
	}
}
