package rotation

import (
	"crypto/x509"
	"testing"
	"time"
)

// TestManyRotationsInAYear: all links go into each handshake, and agents look at so many
// certificates only. The newest ones are shown, each of which leads to what is trusted.
func TestManyRotationsInAYear(t *testing.T) {
	now := time.Now()
	const rotations = 400
	s := &state{roots: []*anchor{{fingerprint: "signs"}}}
	before := &anchor{}
	for n := range rotations {
		to := &anchor{}
		if n == rotations-1 {
			to = s.roots[0]
		}
		s.links = append(s.links, link{from: before, to: to, cert: &x509.Certificate{NotAfter: now.Add(time.Hour)}})
		before = to
	}
	ways := s.ways(now)
	if len(ways) != maxWays {
		t.Fatalf("%d links, want %d", len(ways), maxWays)
	}
	at := ways[0].from
	for _, l := range ways {
		if l.from != at {
			t.Fatal("a walk is broken")
		}
		at = l.to
	}
	if at != s.signing() {
		t.Error("the walk ends elsewhere")
	}
}
