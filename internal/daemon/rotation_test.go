package daemon

import (
	"context"
	"crypto/tls"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/ca"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// school keeps pupils at their streams until the test ends or ensignd does.
func school(t *testing.T, pupils ...*pupil) (dismiss func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, u := range pupils {
		all.Go(func() {
			for ctx.Err() == nil {
				u.follow(ctx)
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	dismiss = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(dismiss)
	return dismiss
}

// rotate begins a rotation with the shortest window.
func (p *process) rotate() *ensignv1.Authority {
	p.t.Helper()
	answer, err := p.admin.RotateRoot(p.t.Context(), &ensignv1.RotateRootRequest{Window: durationpb.New(time.Second), Reason: "test"})
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.Authority
}

// until watches the authority until it is so.
func (p *process) until(what string, is func(*ensignv1.Authority) bool) *ensignv1.Authority {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	var last *ensignv1.Authority
	for ctx.Err() == nil {
		watch, err := p.admin.WatchAuthority(ctx, &ensignv1.GetAuthorityRequest{})
		for err == nil {
			var now *ensignv1.Authority
			if now, err = watch.Recv(); err == nil {
				if last = now; is(now) {
					return now
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatalf("never %s; at last %v", what, last.GetRotation())
	return nil
}

func outcome(want string) func(*ensignv1.Authority) bool {
	return func(a *ensignv1.Authority) bool { return a.Rotation.GetOutcome() == want }
}

// signing is the root that issuers are signed by.
func signing(a *ensignv1.Authority) *ensignv1.Root {
	i := slices.IndexFunc(a.Roots, func(r *ensignv1.Root) bool { return r.Signing })
	return a.Roots[i]
}

// TestTheRootIsRotated: the key too, and nobody has to come again with a token: neither
// the pod that is bound to its SVID, nor the one that got its by its account. Limits that
// are reached already keep nobody from following.
func TestTheRootIsRotated(t *testing.T) {
	p := startProcess(t, t.TempDir(), "--issue-burst=2", "--issue-rate=0.0001", "--issue-per-day=2")
	first, second := enroll(p, "web-1", true), enroll(p, "web-2", false)
	before, old := p.bundle(), *first.svid
	dismiss := school(t, first, second)
	begun := p.rotate()
	done := p.until("completed", outcome("completed"))
	dismiss()

	from, to := begun.Rotation.From.Fingerprint, done.Rotation.To.GetFingerprint()
	if to == "" || to == from || signing(done).Fingerprint != to || done.Issuer.Root != to || signing(done).LiveSvids != 2 {
		t.Errorf("from %s to %s: %v", from, to, done)
	}
	if now := p.bundle(); len(now.Roots()) != 1 || now.Hash() != done.Bundle || now.Hash() == before.Hash() {
		t.Errorf("bundle.pem has %d roots", len(now.Roots()))
	}
	for _, u := range []*pupil{first, second} {
		if u.root() != to || u.trust.Root != to {
			t.Errorf("%s lives on %q, and was told %v", u.pod, u.root(), u.trust)
		}
		if err := u.get(t.Context()); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s has no limits after the rotation: %v", u.pod, err)
		}
	}
	// What leads to the old root is worth nothing any more.
	first.svid = &old
	if err := first.get(t.Context()); status.Code(err) != codes.Unavailable {
		t.Errorf("an SVID of the old root is a proof: %v", err)
	}
	if verbs := verbsOf(done); verbs != "begin distribute activate retire finish" {
		t.Errorf("timeline: %s", verbs)
	}
	if shown := p.shownTo(t); !slices.Contains(shown, to) || len(shown) < 4 {
		t.Errorf("the server shows %d certificates, the new root among them: %t; want its link too", len(shown), slices.Contains(shown, to))
	}
}

func verbsOf(a *ensignv1.Authority) string {
	var verbs []string
	for _, e := range a.Rotation.Timeline {
		verbs = append(verbs, e.Verb)
	}
	return strings.Join(verbs, " ")
}

// TestAGateWaitsForWhoDoesNotAcknowledge, by name, over a restart too, and goes on when
// it does; then the way back.
func TestAGateWaitsForWhoDoesNotAcknowledge(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir)
	first, second := enroll(p, "web-1", true), enroll(p, "web-2", true)
	dismiss := school(t, first, second)
	p.until("both are seen", func(a *ensignv1.Authority) bool { return signing(a).LiveSvids == 2 })
	second.deaf.Store(true)
	begun := p.rotate()
	waits := func(a *ensignv1.Authority) bool {
		g := a.Rotation.GetGate()
		return g.GetName() == "new-bundle" && g.Ready == 1 && g.Waiting == 1 && g.Laggards[0].Name == "shop/web-2"
	}
	p.until("waits for shop/web-2", waits)
	if _, err := p.admin.RotateRoot(t.Context(), &ensignv1.RotateRootRequest{}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("two at once: %v", err)
	}
	dismiss()
	p.stop()
	p = startProcess(t, dir)
	first.of, second.of = p, p
	dismiss = school(t, first, second)
	p.until("waits for shop/web-2 after the restart", waits)
	dismiss()
	second.deaf.Store(false)
	dismiss = school(t, first, second)
	done := p.until("completed", outcome("completed"))
	if done.Rotation.Id != begun.Rotation.Id {
		t.Errorf("another rotation: %v", done.Rotation)
	}
	if _, err := p.admin.SteerRotation(t.Context(), &ensignv1.SteerRotationRequest{Verb: "rollback", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	back := p.until("back", func(a *ensignv1.Authority) bool {
		return a.Rotation.Outcome == "completed" && a.Rotation.Id != done.Rotation.Id
	})
	dismiss()
	if from := begun.Rotation.From.Fingerprint; signing(back).Fingerprint != from || first.root() != from || second.root() != from {
		t.Errorf("back on %v, the pods on %s and %s", signing(back), first.root(), second.root())
	}
}

// TestAProxyIsRenewedByName.
func TestAProxyIsRenewedByName(t *testing.T) {
	p := startProcess(t, t.TempDir())
	u := enroll(p, "web-1", true)
	before := u.svid.Leaf.SerialNumber.Text(16)
	dismiss := school(t, u)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		answer, err := p.admin.RenewProxy(t.Context(), &ensignv1.RenewProxyRequest{Name: "shop/web-1"})
		if status.Code(err) == codes.NotFound && time.Now().Before(deadline) {
			continue // it has not reported yet
		}
		dismiss()
		if now := u.svid.Leaf.SerialNumber.Text(16); err != nil || answer.Before != before || answer.Serial != now || now == before {
			t.Errorf("%v, %v; want from %s to %s", answer, err, before, now)
		}
		return
	}
}

// shownTo are the fingerprints of all that the server shows.
func (p *process) shownTo(t *testing.T) []string {
	t.Helper()
	conn, err := tls.Dial("tcp", p.listen, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var shown []string
	for _, c := range conn.ConnectionState().PeerCertificates {
		shown = append(shown, ca.Fingerprint(c))
	}
	return shown
}

// TestClocksThatAreOff by ten minutes, either way, are waited for and named: what the new
// root signs would not be valid there. One that is off by less is not. Set right, they
// keep nobody waiting.
func TestClocksThatAreOff(t *testing.T) {
	p := startProcess(t, t.TempDir())
	first, second := enroll(p, "web-1", true), enroll(p, "web-2", true)
	for _, c := range []struct {
		skew time.Duration
		says string
	}{{-10 * time.Minute, "10m0s behind"}, {10 * time.Minute, "10m0s ahead"}} {
		first.skew.Store(int64(5 * time.Minute))
		second.skew.Store(int64(c.skew))
		dismiss := school(t, first, second)
		p.until("both are seen", func(a *ensignv1.Authority) bool { return signing(a).LiveSvids == 2 })
		p.rotate()
		p.until("it waits for the clock", func(a *ensignv1.Authority) bool {
			g := a.Rotation.GetGate()
			return g.GetName() == "new-bundle" && g.Ready == 1 && g.Waiting == 1 && g.Laggards[0].Name == "shop/web-2" && strings.Contains(g.Laggards[0].Reason, c.says)
		})
		time.Sleep(2 * time.Second)
		now, err := p.admin.GetAuthority(t.Context(), &ensignv1.GetAuthorityRequest{})
		if err != nil || now.Rotation.Step != "distributing" {
			t.Errorf("%v at %s", err, now.GetRotation().GetStep())
		}
		// It says so with its next stream.
		dismiss()
		second.skew.Store(0)
		dismiss = school(t, first, second)
		p.until("completed", outcome("completed"))
		dismiss()
	}
}
