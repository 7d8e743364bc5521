package rotation

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

// TestALostRoot: it cannot sign the link, which is waited for; the plan says so. Begun
// again without a link it goes on, nobody calls the root compromised, and nobody is
// sent from it to the next.
func TestALostRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, _ := w.start(nil, names(3)...)
		defer p.stop()
		lose := func(lost error) {
			w.setSick(Builtin, lost)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refuse = func(action string) error {
				if action == "sign" {
					return lost
				}
				return nil
			}
		}
		lose(errors.New("storage gone"))
		plan, err := p.Plan(t.Context(), Options{Via: Vault})
		if text := strings.Join(plan.Warnings, "\n"); err != nil || !strings.Contains(text, "add --without-link: storage gone") {
			t.Errorf("the plan warns of %q, %v", text, err)
		}
		if plan, err = p.Plan(t.Context(), Options{Via: Vault, WithoutLink: true}); err != nil || len(plan.Warnings) != 1 ||
			!strings.Contains(plan.Warnings[0], "need the new bundle from a person") {
			t.Errorf("the plan without a link warns of %q, %v", plan.Warnings, err)
		}
		if err := p.Begin(t.Context(), "uid:0", Options{Via: Vault}); err != nil {
			t.Fatal(err)
		}
		if !p.await(t.Context(), func(r *Rotation) bool { return strings.Contains(r.Problem, "begin again with --without-link") }) {
			t.Fatalf("%v", w.verbs())
		}
		if err := p.Rollback(t.Context(), "uid:0", "lost"); err != nil {
			t.Fatal(err)
		}
		if err := p.Begin(t.Context(), "uid:0", Options{Via: Vault, WithoutLink: true}); err != nil || !p.await(t.Context(), at(Distributing)) {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.refuse = nil // the new root signs
		w.mu.Unlock()
		if !p.await(t.Context(), ended) {
			t.Fatalf("%v", w.verbs())
		}
		s, _, _ := p.Status(t.Context())
		if trust, _ := p.Trust(); s.Rotation.Outcome != completed || s.Roots[0].Compromised || len(trust.Links) != 0 || len(trust.Bundle.Roots()) != 1 {
			t.Errorf("%+v, %d links", s, len(trust.Links))
		}
	})
}
