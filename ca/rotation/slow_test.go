package rotation

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestASlowStepIsNotPausedAfter: an issuer may wait for half a minute until the mesh has
// its CRL. The looks at the gate go on right behind that.
func TestASlowStepIsNotPausedAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow = 30 * time.Second
		w := newWorld(t)
		w.slow = slow
		p, _ := w.start(nil, names(5)...)
		defer p.stop()
		began := time.Now()
		if err := p.Begin(t.Context(), "uid:0", Options{Window: time.Second}); err != nil {
			t.Fatal(err)
		}
		if !p.await(t.Context(), at(Done)) {
			t.Fatal("it does not end")
		}
		if took := time.Since(began); took > slow+15*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
