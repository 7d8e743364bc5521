package connections

import (
	"testing"
	"time"
)

// What may not be ended, thousands of connections, is looked at less often.
func TestManyThatStayAreTriedLessOften(t *testing.T) {
	table, now := newTable(testConfig(t), newKernel(), newKernel().choose), time.Now()
	stay := func(n int) time.Duration {
		for range n {
			table.cutting[&connection{tried: true}] = struct{}{}
		}
		return table.next(now).Sub(now)
	}
	if few, many := stay(1), stay(20_000); few != recheck || many < time.Second {
		t.Errorf("after %s and %s", few, many)
	}
}
