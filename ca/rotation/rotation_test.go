package rotation

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/ensign-mesh/ensign/ca"
)

func names(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("shop/pod-%02d", i))
	}
	return all
}

// TestAWholeRotation goes from the first root to a new one.
func TestAWholeRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, _ := w.start(nil, names(20)...)
		defer p.stop()
		old := ca.Fingerprint(p.Signing())
		if err := p.Begin(t.Context(), "uid:0", Options{Reason: "new year"}); err != nil {
			t.Fatal(err)
		}
		if !p.await(t.Context(), ended) {
			s, _, _ := p.Status(t.Context())
			t.Fatalf("%+v", s.Rotation)
		}
		s, _, err := p.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r := s.Rotation; r.Outcome != completed || r.From != old || r.To == old || r.To != ca.Fingerprint(p.Signing()) || r.Problem != "" {
			t.Errorf("%+v", r)
		}
		if want := []string{"adopt", "begin", "distribute", "activate", "retire", "finish"}; !slices.Equal(w.verbs(), want) {
			t.Errorf("the ledger has %v", w.verbs())
		}
		if len(s.Roots) != 2 || s.Roots[0].Trusted || !s.Roots[1].Signing || s.Roots[1].LiveSVIDs != 20 || s.Roots[0].LiveSVIDs != 20 {
			t.Errorf("%+v", s.Roots)
		}
	})
}
