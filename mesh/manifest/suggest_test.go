package manifest

import (
	"testing"

	"pgregory.net/rapid"
)

func TestSuggestion(t *testing.T) {
	fields := []string{"hosts", "http", "gateways", "exportTo", "tls", "tcp"}
	for name, want := range map[string]string{
		"host": "write hosts", "HOSTS": "write hosts", "htpp": "write http", "exportto": "write exportTo", "gatways": "write gateways",
		"completely-else": "write one of hosts, http, gateways, exportTo, tls, tcp",
	} {
		if got := suggestion(name, fields); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := suggestion("x", nil); got != "remove it" {
		t.Errorf("nothing is known: %q", got)
	}
}

// TestDistance: 0 for equal words alone, the same in both directions, at most
// one more for a letter more, and never above limit+1.
func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"prot", "port", 1}, {"selektor", "selector", 1}, {"abc", "xyz", 3}, {"abcdef", "", 5}} {
		if got := distance(c.a, c.b, 4); got != c.want {
			t.Errorf("distance(%q, %q) is %d, want %d", c.a, c.b, got, c.want)
		}
	}
	word := rapid.StringMatching(`[a-d]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, limit := word.Draw(t, "a"), word.Draw(t, "b"), rapid.IntRange(0, 9).Draw(t, "limit")
		d := distance(a, b, limit)
		if d != distance(b, a, limit) || (d == 0) != (a == b) || d > limit+1 {
			t.Fatalf("distance(%q, %q, %d) is %d", a, b, limit, d)
		}
		if far, more := distance(a, b, 99), distance(a+"x", b, 99); more > far+1 || more < far-1 {
			t.Fatalf("a letter more changes %d to %d", far, more)
		}
	})
}
