package rotation

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/ledger"
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

// TestAnExpiredRoot is replaced all the same: nobody lives on it any more.
func TestAnExpiredRoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, _ := w.start(nil, names(3)...)
		defer p.stop()
		time.Sleep(366 * 24 * time.Hour)
		if err := p.Healthy(); err == nil || !strings.Contains(err.Error(), "has expired") {
			t.Errorf("healthy: %v", err)
		}
		p.stop()
		p, _ = w.start(nil)
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil || !p.await(t.Context(), ended) {
			t.Fatalf("%v: %v", err, w.verbs())
		}
		if trust, _ := p.Trust(); p.Healthy() != nil || len(trust.Links) != 0 {
			t.Errorf("%v, %+v", p.Healthy(), trust)
		}
		if err := p.Rollback(t.Context(), "uid:0", ""); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "has expired") {
			t.Errorf("back to an expired root: %v", err)
		}
	})
}

// TestNoWayBack: not to a root whose key is gone, and none in the middle of going back.
func TestNoWayBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(3)...)
		if err := p.Begin(t.Context(), "uid:0", Options{Via: Vault}); err != nil || !p.await(t.Context(), ended) {
			t.Fatal(err)
		}
		p.stop()
		w.mu.Lock()
		key := w.roots["builtin/root"]
		delete(w.roots, "builtin/root")
		w.mu.Unlock()
		p, _ = w.start(f)
		defer p.stop()
		if err := p.Rollback(t.Context(), "uid:0", ""); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "has no key") {
			t.Errorf("back to a root without a key: %v", err)
		}
		w.mu.Lock()
		w.roots["builtin/root"] = key
		w.mu.Unlock()
		f.set(0, func(p *pod) { p.stuck = true })
		if err := p.Rollback(t.Context(), "uid:0", "so"); err != nil || !p.await(t.Context(), at(Distributing)) {
			t.Fatal(err)
		}
		if err := p.Rollback(t.Context(), "uid:0", "no"); err != nil || !p.await(t.Context(), at(Retiring)) {
			t.Errorf("the way back is a rotation like another: %v", err)
		}
		if err := p.Rollback(t.Context(), "uid:0", "yes"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "goes back already") {
			t.Errorf("turned twice: %v", err)
		}
	})
}

// TestManyNames fit into the ledger, each once.
func TestManyNames(t *testing.T) {
	var all []string
	for i := range 10_000 {
		all = append(all, fmt.Sprintf("namespace-of-some-length/deployment-%d-6d4cf56db6-%05d", i, i))
	}
	records := skips(all)
	var again []string
	for _, r := range records {
		e, err := r.entry()
		if err != nil {
			t.Fatal(err)
		}
		if text, err := json.Marshal(e); err != nil || len(text) > ledger.MaxEntry/2 {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		back, err := recordOf(ca.Recorded{Entry: ca.Entry{Object: "rotation:x", Detail: e.Detail}})
		if err != nil {
			t.Fatal(err)
		}
		again = append(again, back.Names...)
	}
	if !slices.Equal(all, again) || len(records) > 100 {
		t.Errorf("%d names in %d entries", len(again), len(records))
	}
}
