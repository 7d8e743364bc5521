package rotation

import (
	"errors"
	"testing"
	"testing/synctest"

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
		w.setSick(Builtin+"/ensign-"+p.state.run.id, denied)
		if err := p.Rollback(t.Context(), "uid:0", "the new root can't sign"); err != nil {
			t.Fatal(err)
		}
		if !p.await(t.Context(), ended) {
			t.Fatalf("%v", w.verbs())
		}
		if s, _, _ := p.Status(t.Context()); s.Rotation.Outcome != rolledBack || !s.Roots[0].Signing || ca.Fingerprint(p.Signing()) != s.Roots[0].Fingerprint {
			t.Errorf("%+v", s.Rotation)
		}
	})
}
