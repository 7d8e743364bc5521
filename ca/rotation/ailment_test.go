package rotation

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestEachRootSaysHowItIs: those that are in use, and the one that a rollback would lead
// to, since when, and none that nobody needs.
func TestEachRootSaysHowItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, _ := w.start(nil, names(2)...)
		defer p.stop()
		rotate := func(via string) {
			t.Helper()
			if err := p.Begin(t.Context(), "uid:0", Options{Via: via, Window: time.Second}); err != nil || !p.await(t.Context(), ended) {
				t.Fatal(err, w.verbs())
			}
		}
		rotate(Builtin)
		rotate(Vault)
		since := time.Now().Add(-time.Hour)
		w.setSick(Vault, &Ailment{Err: errors.New("sealed: unseal it"), Since: since})
		w.setSick(Builtin, errors.New("hangs"))
		s, _, err := p.Status(t.Context())
		if err != nil || len(s.Roots) != 3 {
			t.Fatal(s, err)
		}
		for n, want := range []string{"", "hangs", "sealed: unseal it"} {
			r := s.Roots[n]
			if want == "" && r.Problem != nil || want != "" && (r.Problem == nil || r.Problem.Error() != want) {
				t.Errorf("root %d: %v, want %q", n, r.Problem, want)
			}
			if known := n == 2; r.ProblemSince.Equal(since) != known || !known && !r.ProblemSince.IsZero() {
				t.Errorf("root %d is so since %s", n, r.ProblemSince)
			}
		}
		if err := p.Healthy(); err == nil || err.Error() != "sealed: unseal it" {
			t.Errorf("the place of the root that signs: %v", err)
		}
		if got := testutil.ToFloat64(p.metrics.unwell); got != 1 {
			t.Errorf("unwell is %v", got)
		}
		delete(p.cfg.Places, Vault)
		if s, _, _ = p.Status(t.Context()); s.Roots[2].Problem == nil || !strings.Contains(s.Roots[2].Problem.Error(), "--vault-") || p.Healthy() == nil {
			t.Errorf("nobody said where Vault is: %v", s.Roots[2].Problem)
		}
	})
}
