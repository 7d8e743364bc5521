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

// TestAnAgentsOwnWordsComeFirst: who reads no further knows what to do.
func TestAnAgentsOwnWordsComeFirst(t *testing.T) {
	q := &question{step: Distributing, now: time.Now(), bundle: "b"}
	i := Instance{Connected: true, Report: &Report{AckedBundle: "a", Problem: "its disk is full: make room there"}}
	if got := q.reason(&i, verdict{why: q.judge(&i)}); !strings.HasPrefix(got, "its agent says: its disk is full: make room there; its Envoy has not") {
		t.Error(got)
	}
}
