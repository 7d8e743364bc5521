package ledger

import (
	"fmt"
	"testing"
)

func TestRecentIsBoundedAndKeepsWhatIsAskedFor(t *testing.T) {
	var c recent
	c.keep("asked", Record{Index: 7})
	for n := range 5 * recentSerials {
		c.keep(fmt.Sprint(n), Record{Index: uint64(n)})
		if n%1000 == 0 {
			if r, ok := c.find("asked"); !ok || r.Index != 7 {
				t.Fatalf("after %d: %v, %v", n, r, ok)
			}
		}
		if len(c.young)+len(c.old) > recentSerials {
			t.Fatalf("%d are held", len(c.young)+len(c.old))
		}
	}
	if _, ok := c.find("0"); ok {
		t.Error("the first is still held")
	}
	if r, ok := c.find(fmt.Sprint(5*recentSerials - 1)); !ok || r.Index != 5*recentSerials-1 {
		t.Error("the last is not held")
	}
}
