package sds

import (
	"log/slog"
	"testing"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"pgregory.net/rapid"
)

// line is one stream of ROOTCA, with the goroutine that serves it, which may have taken
// up what there is to send and not come to send it yet, and with Envoy at its end.
type line struct {
	*subscription
	up      *rootSet // taken up, not sent yet; nil: nothing
	coming  []answer
	applied string // hash of the roots; "" before the first
	going   []struct {
		nonce   string
		refused bool
	}
}

func newLine(s *Server) *line {
	l := &line{subscription: s.subscribe()}
	l.names[SecretRoots] = true
	return l
}

// push sends what was taken up, if Envoy does not have it.
func (l *line) push() {
	if l.up == nil {
		return
	}
	if due := l.outdated(map[string]secret{SecretRoots: rootSecret(l.up)}); len(due) > 0 {
		if _, err := l.sent(due); err == nil {
			l.coming = append(l.coming, l.waiting[len(l.waiting)-1])
		}
	}
	l.up = nil
}

// apply has Envoy take or refuse what came first.
func (l *line) apply(refused bool) {
	if len(l.coming) == 0 {
		return
	}
	if !refused {
		l.applied = l.coming[0].secrets[0].roots.hash
	}
	l.going = append(l.going, struct {
		nonce   string
		refused bool
	}{l.coming[0].nonce, refused})
	l.coming = l.coming[1:]
}

// answer has Envoy's first answer arrive. What there is to send is looked at again then.
func (l *line) answer(newest *rootSet) {
	if len(l.going) == 0 {
		return
	}
	l.push()
	var refusal *rpcstatus.Status
	if l.going[0].refused {
		refusal = &rpcstatus.Status{Message: "no"}
	}
	l.answered(l.going[0].nonce, refusal)
	l.going, l.up = l.going[1:], newest
}

func rootSecret(set *rootSet) secret {
	return secret{name: SecretRoots, version: set.hash, roots: set, crls: &crlSet{}}
}

// follows says whether Envoy has nothing by this line but the roots with a hash, and
// whether what is still to come of Trusts up to a sequence is the same.
func (l *line) follows(hash string, sequence uint64) bool {
	for _, a := range l.coming {
		if a.secrets[0].roots.hash != hash {
			return false
		}
	}
	return l.applied == hash && (l.up == nil || l.up.sequence > sequence || l.up.hash == hash)
}

// TestATrustIsAcknowledgedWhenNothingElseIsOnItsWay: however Trusts follow one another,
// with roots that come back, and however slowly streams, Envoy and its answers are, the
// sequence that is reported is of a Trust whose roots every stream of Envoy has, and
// nothing of it or of one before it will change that.
func TestATrustIsAcknowledgedWhenNothingElseIsOnItsWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		server := &Server{tracker: newTracker(), logger: slog.New(slog.DiscardHandler)}
		server.crls = newCRLHolder(server.tracker.follow, nil, server.logger)
		trusts := []*rootSet{{hash: "a", sequence: 1}}
		newest := func() *rootSet { return trusts[len(trusts)-1] }
		lines := []*line{newLine(server), newLine(server)}
		pick := func() *line { return lines[rapid.IntRange(0, 1).Draw(t, "line")] }
		t.Repeat(map[string]func(*rapid.T){
			"trust": func(t *rapid.T) {
				trusts = append(trusts, &rootSet{hash: rapid.SampledFrom([]string{"a", "ab"}).Draw(t, "roots"), sequence: newest().sequence + 1})
			},
			"take up": func(*rapid.T) {
				if l := pick(); l.up == nil {
					l.up = newest()
				}
			},
			"push":   func(*rapid.T) { pick().push() },
			"apply":  func(t *rapid.T) { pick().apply(rapid.IntRange(0, 4).Draw(t, "refused") == 0) },
			"answer": func(*rapid.T) { pick().answer(newest()) },
			"": func(t *rapid.T) {
				state, _ := server.Acknowledged()
				if (state.TrustSequence == 0) != (state.Bundle == "") {
					t.Fatalf("%+v", state)
				}
				for n, l := range lines {
					if state.TrustSequence == 0 || l.stream > 0 && l.nonces == 0 {
						continue
					}
					if hash := trusts[state.TrustSequence-1].hash; state.Bundle != hash || !l.follows(hash, state.TrustSequence) {
						t.Fatalf("%+v is reported, of roots %s; line %d has %q and %d answers to come, and took up %+v", state, hash, n, l.applied, len(l.coming), l.up)
					}
				}
			},
		})
		// Once all is quiet the newest is reported, without another push if Envoy has it.
		trusts = append(trusts, &rootSet{hash: "c", sequence: newest().sequence + 1}, &rootSet{hash: "c", sequence: newest().sequence + 2})
		for _, l := range lines {
			l.push()
			l.up = trusts[len(trusts)-2]
			for l.push(); len(l.coming)+len(l.going) > 0; l.push() {
				l.apply(false)
				l.answer(trusts[len(trusts)-2])
			}
			before := l.nonces
			l.up = newest()
			if l.push(); l.nonces != before {
				t.Fatal("the same roots were sent again")
			}
		}
		if state, _ := server.Acknowledged(); state.Bundle != "c" || state.TrustSequence != newest().sequence {
			t.Fatalf("%+v at the end, the newest is %d", state, newest().sequence)
		}
	})
}

// TestTheSlowestStreamCounts: of two streams that have the same roots one has come to the
// newest Trust, and the other is about to send those of the Trust between.
func TestTheSlowestStreamCounts(t *testing.T) {
	server := &Server{tracker: newTracker(), logger: slog.New(slog.DiscardHandler)}
	trusts := []*rootSet{{hash: "ab", sequence: 1}, {hash: "a", sequence: 2}, {hash: "ab", sequence: 3}}
	quick, slow := newLine(server), newLine(server)
	tell := func(l *line, trust int) {
		l.up = trusts[trust-1]
		for l.push(); len(l.coming)+len(l.going) > 0; l.push() {
			l.apply(false)
			l.answer(trusts[trust-1])
		}
	}
	want := func(bundle string, sequence uint64) {
		t.Helper()
		if state, _ := server.Acknowledged(); state.Bundle != bundle || state.TrustSequence != sequence {
			t.Errorf("%+v, want %q of Trust %d", state, bundle, sequence)
		}
	}
	tell(quick, 1)
	tell(slow, 1)
	want("ab", 1)
	slow.up = trusts[1]
	tell(quick, 3)
	want("ab", 1)
	slow.push()
	want("", 0)
	slow.apply(false)
	slow.answer(trusts[2])
	want("", 0)
	slow.push()
	slow.apply(false)
	want("", 0)
	slow.answer(trusts[2])
	want("ab", 3)
}
