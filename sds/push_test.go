package sds_test

import (
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/ensign-mesh/ensign/sds"
	"github.com/ensign-mesh/ensign/sds/sdstest"
)

// A push of roots is ROOTCA and nothing else; it counts as taken once Envoy says so,
// and never while Envoy says nothing, or refuses.
func TestAPushOfRootsIsROOTCAAlone(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	svid := s.run(t)
	old, next := s.signer.authority, sdstest.New(t)
	both, last := sds.BundleHash(rootsOf(old, next)), sds.BundleHash(rootsOf(next))
	stream := s.delta(t, subscribe("default", "ROOTCA"))
	ack(t, stream, receiveDelta(t, stream), nil)
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == svid.Bundle() && a.Serial == svid.Serial() })

	if err := s.source.Follow(pushed(1, next, old)); err != nil {
		t.Fatal(err)
	}
	response := receiveDelta(t, stream)
	if got := versions(response); !maps.Equal(got, map[string]string{"ROOTCA": both}) {
		t.Fatalf("sent %v", got)
	}
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == "" && a.Serial == svid.Serial() })
	ack(t, stream, response, nil)
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == both && a.Serial == svid.Serial() })

	s.signer.set(func([]byte) ([]string, error) { return nil, errors.New("away") })
	if err := s.source.Follow(pushed(2, next)); err != nil {
		t.Fatal(err)
	}
	ack(t, stream, receiveDelta(t, stream), &rpcstatus.Status{Code: 13, Message: "no such curve"})
	state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Error != "" })
	if state.Bundle != both || !strings.Contains(state.Error, "ROOTCA: no such curve") {
		t.Errorf("%+v: Envoy has what it had", state)
	}
	sendDelta(t, stream, subscribe("ROOTCA")) // a second chance
	ack(t, stream, receiveDelta(t, stream), nil)
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == last && a.Error == "" })
	if now, _ := s.source.Watch(); now != svid {
		t.Error("a push of roots replaced the SVID")
	}
}

// Roots that come back are those of the newest Trust only once nothing else is on its
// way; if nothing was sent between, at once and without a push.
func TestRootsThatComeBack(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	svid := s.run(t)
	old, next := s.signer.authority, sdstest.New(t)
	both := sds.BundleHash(rootsOf(old, next))
	stream := s.delta(t, subscribe("ROOTCA"))
	ack(t, stream, receiveDelta(t, stream), nil)
	if state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == svid.Bundle() }); state.TrustSequence != 0 {
		t.Errorf("%+v: the roots came with the SVID", state)
	}
	follow := func(trust sds.Trust) {
		t.Helper()
		if err := s.source.Follow(trust); err != nil {
			t.Fatal(err)
		}
	}
	follow(pushed(6, old))
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == svid.Bundle() && a.TrustSequence == 6 })

	follow(pushed(7, next, old))
	first := receiveDelta(t, stream)
	follow(pushed(8, old))
	second := receiveDelta(t, stream)
	follow(pushed(9, next, old))
	third := receiveDelta(t, stream)
	for _, one := range []*discoveryv3.DeltaDiscoveryResponse{first, second} {
		ack(t, stream, one, nil)
		time.Sleep(50 * time.Millisecond)
		if state, _ := s.server.Acknowledged(); state.Bundle != "" || state.TrustSequence != 0 {
			t.Errorf("%+v: another bundle is on its way", state)
		}
	}
	ack(t, stream, third, nil)
	state := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == both && a.TrustSequence == 9 })

	follow(pushed(10, next, old))
	if again := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.TrustSequence == 10 }); again.Bundle != both || again.At != state.At {
		t.Errorf("%+v after %+v", again, state)
	}
	if n := s.count(t, "sent"); n != 4 {
		t.Errorf("%v secrets were sent, want 4", n)
	}
}

// Roots that the next agent would not have are those of no Trust, whatever Envoy has; once
// they are kept they are, without a push.
func TestRootsThatCannotBeKeptAreOfNoTrust(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	s.run(t)
	old, next := s.signer.authority, sdstest.New(t)
	both := sds.BundleHash(rootsOf(old, next))
	stream := s.delta(t, subscribe("ROOTCA"))
	ack(t, stream, receiveDelta(t, stream), nil)
	disk := func(err error) {
		s.signer.mu.Lock()
		defer s.signer.mu.Unlock()
		s.signer.full = err
	}
	disk(errors.New("no space left"))
	if err := s.source.Follow(pushed(4, next, old)); err != nil {
		t.Fatal(err)
	}
	ack(t, stream, receiveDelta(t, stream), nil)
	unkept := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == both })
	s.source.Keep()
	time.Sleep(50 * time.Millisecond)
	if now, _ := s.server.Acknowledged(); unkept.TrustSequence != 0 || now != unkept {
		t.Errorf("%+v, then %+v, on a full disk", unkept, now)
	}
	disk(nil)
	s.source.Keep()
	if kept := s.acknowledged(t, func(a sds.Acknowledged) bool { return a.TrustSequence == 4 }); kept.Bundle != unkept.Bundle || kept.At != unkept.At {
		t.Errorf("%+v after %+v", kept, unkept)
	}
	if n := s.count(t, "sent"); n != 2 {
		t.Errorf("%v secrets were sent, want 2", n)
	}
}

// One silent stream is enough for a bundle not to be taken, and it is again once that
// stream has ended.
func TestASilentStreamHasNotTakenTheBundle(t *testing.T) {
	s := serveSecrets(t, time.Hour)
	s.run(t)
	old, next := s.signer.authority, sdstest.New(t)
	quick, world := s.delta(t, subscribe("ROOTCA")), s.world(t, "ROOTCA")
	ack(t, quick, receiveDelta(t, quick), nil)
	first := world.receive()
	if state, _ := s.server.Acknowledged(); state.Bundle != "" {
		t.Errorf("%+v: one of two said nothing yet", state)
	}
	world.ask(first, nil, "ROOTCA")
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == sds.BundleHash(rootsOf(old)) })
	if err := s.source.Follow(pushed(1, next, old)); err != nil {
		t.Fatal(err)
	}
	ack(t, quick, receiveDelta(t, quick), nil)
	silent := world.receive()
	time.Sleep(100 * time.Millisecond)
	if state, _ := s.server.Acknowledged(); state.Bundle != "" {
		t.Errorf("%+v: one of two said nothing to the new one", state)
	}
	world.ask(silent, nil) // not interested any more
	s.acknowledged(t, func(a sds.Acknowledged) bool { return a.Bundle == sds.BundleHash(rootsOf(old, next)) })
}

// An agent that starts while the control plane is away gives Envoy the roots that were
// kept, and no certificate.
func TestKeptRootsAreServedWithoutAnSVID(t *testing.T) {
	s := &served{signer: &signer{}}
	next := sdstest.New(t)
	newSource(t, s.signer, time.Hour)
	s.signer.kept = &sds.Kept{Operator: sds.BundleHash(rootsOf(s.signer.authority)), Sequence: 9, Roots: rootsOf(next)}
	s.source = sds.NewSource(sds.SourceConfig{Roots: sds.NewRoots(s.signer.config(t)), Logger: slog.New(slog.DiscardHandler)})
	s.listen(t)
	stream := s.delta(t, subscribe("default", "ROOTCA"))
	if got := versions(receiveDelta(t, stream)); !maps.Equal(got, map[string]string{"ROOTCA": sds.BundleHash(rootsOf(next))}) {
		t.Errorf("sent %v", got)
	}
}

// Roots that were kept beside another bundle file are forgotten.
func TestKeptRootsOfAnotherBundleFileAreNotServed(t *testing.T) {
	s := &served{signer: &signer{}}
	newSource(t, s.signer, time.Hour)
	s.signer.kept = &sds.Kept{Operator: sds.BundleHash(rootsOf(sdstest.New(t))), Sequence: 9, Roots: rootsOf(sdstest.New(t))}
	s.source = sds.NewSource(sds.SourceConfig{Roots: sds.NewRoots(s.signer.config(t)), Logger: slog.New(slog.DiscardHandler)})
	s.listen(t)
	stream := s.delta(t, subscribe("ROOTCA", "unknown"))
	if response := receiveDelta(t, stream); len(response.GetResources()) > 0 {
		t.Errorf("sent %v", versions(response))
	}
}

// FuzzTrust: whatever the control plane says, what is trusted then shares a root with
// what was trusted before.
func FuzzTrust(f *testing.F) {
	s := &signer{}
	source := newSource(f, s, time.Hour)
	next := sdstest.New(f)
	good := pushed(1, s.authority, next)
	f.Add(good.Roots[0], good.Roots[1], good.Root, uint64(1), int64(time.Minute), true)
	f.Add(good.Roots[1], []byte{}, good.Root, uint64(2), int64(-1), false)
	f.Add([]byte{0x30}, good.Roots[0], "", uint64(0), int64(1), false)
	f.Fuzz(func(t *testing.T, one, other []byte, root string, sequence uint64, within int64, first bool) {
		before, err := s.roots.Anchors()
		if err != nil {
			t.Fatal(err)
		}
		err = source.Follow(sds.Trust{Sequence: sequence, First: first, Roots: [][]byte{one, other}, Root: root, RenewWithin: time.Duration(within)})
		after, _ := s.roots.Anchors()
		shared := false
		for _, a := range before.Roots {
			for _, b := range after.Roots {
				shared = shared || a.Equal(b)
			}
		}
		if !shared || (err != nil && sds.BundleHash(before.Roots) != sds.BundleHash(after.Roots)) {
			t.Errorf("%v: %d roots became %d", err, len(before.Roots), len(after.Roots))
		}
	})
}
