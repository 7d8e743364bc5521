package rotation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// TestARootThatCannotSign: nothing is wrong with the one before it in the same place, so
// that the way back is open.
func TestARootThatCannotSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(4)...)
		defer p.stop()
		denied := errors.New("denied")
		w.mu.Lock()
		w.refuse = func(action string) error {
			if action == "settle" && f.process.Signing().Subject.CommonName != "Ensign root root" {
				return denied
			}
			return nil
		}
		w.mu.Unlock()
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil || !p.await(t.Context(), at(Activating)) {
			t.Fatal(err)
		}
		s, _, _ := p.Status(t.Context())
		w.setSick(Builtin+"/ensign-"+s.Rotation.ID, denied)
		if err := p.Rollback(t.Context(), "uid:0", "the new root can't sign"); err != nil {
			t.Fatal(err)
		}
		if !p.await(t.Context(), ended) {
			t.Fatalf("%v", w.verbs())
		}
		if s, _, _ = p.Status(t.Context()); s.Rotation.Outcome != rolledBack || !s.Roots[0].Signing || ca.Fingerprint(p.Signing()) != s.Roots[0].Fingerprint {
			t.Errorf("%+v", s.Rotation)
		}
	})
}

// TestAPlaceThatNeverAnswers and knows no context: everybody hears of it, who turns
// around is not held up by it, and the next rotation waits for its answer alone.
func TestAPlaceThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, _ := w.start(nil, names(2)...)
		defer p.stop()
		answer := make(chan struct{})
		p.cfg.Places[Vault] = silentPlace{p.cfg.Places[Vault], answer}
		silent := func(r *Rotation) bool { return strings.Contains(r.Problem, "has not answered") }
		if err := p.Begin(t.Context(), "uid:0", Options{Via: Vault}); err != nil || !p.await(t.Context(), silent) {
			t.Fatal("it hangs in silence", err)
		}
		if err := p.Rollback(t.Context(), "uid:0", ""); err != nil {
			t.Fatal(err)
		}
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil || !p.await(t.Context(), silent) {
			t.Fatal("it hangs in silence", err)
		}
		close(answer)
		if !p.await(t.Context(), ended) {
			t.Fatalf("%v", w.verbs())
		}
		time.Sleep(time.Minute)
		if s, _, _ := p.Status(t.Context()); s.Rotation.Outcome != completed || s.Rotation.Options.Via != Builtin {
			t.Errorf("%+v", s.Rotation)
		}
	})
}

// silentPlace makes a root when it has heard an answer, whatever its context says.
type silentPlace struct {
	Place
	answer chan struct{}
}

func (p silentPlace) Make(ctx context.Context, name string) (Root, error) {
	<-p.answer
	return p.Place.Make(context.WithoutCancel(ctx), name)
}
