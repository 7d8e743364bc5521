package sds

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// envoy is what Envoy has by one stream of ROOTCA: what is on its way to it, what it
// has applied, and the answers that are on their way back.
type envoy struct {
	stream  uint64
	coming  []sending
	applied string // hash of the roots; "" before the first
	going   []reply
	nonces  int
}

type reply struct {
	nonce   string
	secret  secret
	refused bool
}

// apply takes or refuses what came first.
func (e *envoy) apply(refused bool) {
	if len(e.coming) == 0 {
		return
	}
	next := e.coming[0]
	e.coming = e.coming[1:]
	if !refused {
		e.applied = next.secret.roots.hash
	}
	e.going = append(e.going, reply{next.nonce, next.secret, refused})
}

// answer has the first answer arrive.
func (e *envoy) answer(tracker *tracker) {
	if len(e.going) == 0 {
		return
	}
	r := e.going[0]
	e.going = e.going[1:]
	if r.refused {
		tracker.nack(e.stream, r.secret, r.nonce, "no")
	} else {
		tracker.ack(e.stream, r.secret, r.nonce)
	}
}

// TestTheBundleIsWhatAllOfEnvoyHas: however pushes, ACKs, NACKs and reconnects fall,
// a hash is reported only if every stream has applied exactly these roots, or has done
// so last before it was closed.
func TestTheBundleIsWhatAllOfEnvoyHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tracker := newTracker()
		var envoys []*envoy
		pick := func() *envoy { return envoys[rapid.IntRange(0, len(envoys)-1).Draw(t, "stream")] }
		open := func() { envoys = append(envoys, &envoy{stream: tracker.open()}) }
		open()
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				if len(envoys) < 3 {
					open()
				}
			},
			"send": func(t *rapid.T) {
				e := pick()
				e.nonces++
				s := secret{name: SecretRoots, roots: &rootSet{hash: rapid.SampledFrom([]string{"a", "b", "ab"}).Draw(t, "roots")}, crls: &crlSet{}}
				e.coming = append(e.coming, sending{strconv.Itoa(e.nonces), s})
				tracker.sent(e.stream, s, e.coming[len(e.coming)-1].nonce)
			},
			"apply":  func(t *rapid.T) { pick().apply(rapid.Bool().Draw(t, "refused")) },
			"answer": func(t *rapid.T) { pick().answer(tracker) },
			"all is quiet": func(t *rapid.T) {
				for _, e := range envoys {
					for len(e.coming)+len(e.going) > 0 {
						e.apply(false)
						e.answer(tracker)
					}
				}
			},
			"": func(t *rapid.T) {
				state, _ := tracker.watch()
				for _, e := range envoys {
					if state.Bundle != "" && e.nonces > 0 && e.applied != state.Bundle {
						t.Fatalf("%q is reported, and stream %d has %q", state.Bundle, e.stream, e.applied)
					}
				}
			},
		})
		// Once all is quiet and equal, it is reported.
		s := secret{name: SecretRoots, roots: &rootSet{hash: "end"}, crls: &crlSet{}}
		for _, e := range envoys {
			tracker.sent(e.stream, s, "last")
			tracker.ack(e.stream, s, "last")
		}
		if state, _ := tracker.watch(); state.Bundle != "end" {
			t.Fatalf("%q at the end", state.Bundle)
		}
	})
}
