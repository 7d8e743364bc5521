package rotation

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ensign-mesh/ensign/ca"
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

// TestALedgerFromBeforeARotation: nobody's root is taken away by it, unless a person says so.
func TestALedgerFromBeforeARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(2)...)
		old, before := ca.Fingerprint(p.Signing()), len(w.entries)
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil || !p.await(t.Context(), ended) {
			t.Fatal(err)
		}
		now := ca.Fingerprint(p.Signing())
		p.stop()
		bundle, err := os.ReadFile(bundleFile(w.dir))
		if err != nil {
			t.Fatal(err)
		}
		for what, entries := range map[string][]ca.Entry{"before the rotation": w.entries[:before], "before the adoption": w.entries[:1]} {
			w.entries = slices.Clone(entries)
			_, err := Open(t.Context(), w.config())
			if !errors.Is(err, ErrForgotten) || !strings.Contains(err.Error(), now[:12]) || !strings.Contains(err.Error(), old[:12]) {
				t.Errorf("%s: %v", what, err)
			}
			if text, err := os.ReadFile(bundleFile(w.dir)); err != nil || !bytes.Equal(text, bundle) || len(w.entries) != len(entries) {
				t.Errorf("%s: something was written: %v", what, err)
			}
		}
		if err := os.Rename(bundleFile(w.dir), bundleFile(w.dir)+".lost"); err != nil {
			t.Fatal(err)
		}
		p, _ = w.start(f)
		defer p.stop()
		if got := ca.Fingerprint(p.Signing()); got != old {
			t.Errorf("%s signs", got)
		}
	})
}

// TestALedgerFromTheMiddleOfARotation: it has the root that workloads live on by now, and
// would sign by the one that they do not trust any more.
func TestALedgerFromTheMiddleOfARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(2)...)
		old := ca.Fingerprint(p.Signing())
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil || !p.await(t.Context(), at(Distributing)) {
			t.Fatal(err)
		}
		distributing := slices.Clone(w.entries)
		if !p.await(t.Context(), at(Activating)) {
			t.Fatal(w.verbs())
		}
		activating := slices.Clone(w.entries)
		if !p.await(t.Context(), ended) {
			t.Fatal(w.verbs())
		}
		p.stop()
		w.entries = distributing
		if _, err := Open(t.Context(), w.config()); !errors.Is(err, ErrForgotten) || !strings.Contains(err.Error(), old[:12]) {
			t.Errorf("%v", err)
		}
		// From here on the root that they know signs: it is gone on with.
		w.entries = activating
		p, _ = w.start(f)
		defer p.stop()
		if !p.await(t.Context(), ended) {
			t.Error(w.verbs())
		}
	})
}
