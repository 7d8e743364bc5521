package rotation

import (
	"strings"
	"testing"
	"time"
)

// TestADoubtIsToldWithTheReason, whatever that is.
func TestADoubtIsToldWithTheReason(t *testing.T) {
	q := &question{step: Distributing, now: time.Now(), bundle: "b"}
	for _, i := range []Instance{{Doubt: "put them back"}, {Doubt: "put them back", Report: &Report{AckedBundle: "a"}}} {
		v := verdict{why: q.judge(&i)}
		if v.why == ready || v.why == gone || !strings.HasSuffix(q.reason(&i, v), "; put them back") {
			t.Errorf("%d: %s", v.why, q.reason(&i, v))
		}
	}
}
