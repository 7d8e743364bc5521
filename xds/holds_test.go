package xds

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A client that makes up versions neither fills the memory nor ends a hold.
func TestMadeUpVersionsAreBounded(t *testing.T) {
	h := newHolds(newMetrics(prometheus.NewRegistry()))
	bad := made(t, "a", "bad")
	for _, by := range []string{"one", "two"} {
		h.refuse("1.40.0", bad, by, "no", epoch)
	}
	for i := range 10 * maxVersions {
		h.refuse(fmt.Sprint("made up ", i), bad, "evil", "no", epoch)
	}
	if len(h.refused) > maxVersions {
		t.Errorf("%d versions are kept", len(h.refused))
	}
	if !h.held("1.40.0", bad) {
		t.Error("the hold is gone")
	}
}
