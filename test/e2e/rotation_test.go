package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// The root moves from ensignd into Vault, there to the next one, and then back; the
// key is another each time, and nobody notices.
func TestTheRootMovesThroughVaultUnderLoad(t *testing.T) {
	l := rotationMesh(t)
	underLoad(t, l, func() {
		for _, way := range []struct{ name, place string }{{"built in to Vault", "vault"}, {"to Vault's next", "vault"}} {
			t.Log(way.name)
			args := []string{"rotate", "root", "--via", way.place, "--window", "3s"}
			if now := rotated(t, l, nil, args...); now.Signing().Place != way.place {
				t.Errorf("the root that signs is in %s", now.Signing().Place)
			}
		}
		before := status(t, l)
		t.Log("rollback")
		back := rotated(t, l, nil, "rollback", "--reason", "test")
		if back.Signing().Fingerprint != before.Rotation.From.Fingerprint {
			t.Errorf("%s signs, want %s", back.Signing().Name, before.Rotation.From.Name)
		}
		t.Log("home again")
		rotated(t, l, nil, "rotate", "root", "--via", "builtin", "--window", "1s")
	})
}

// In mid-way it is turned around: all live on the root that they lived on before.
func TestARotationIsTurnedAroundUnderLoad(t *testing.T) {
	l := rotationMesh(t)
	for _, step := range []string{"distributing", "activating", "retiring"} {
		t.Run(step, func(t *testing.T) {
			before := status(t, l)
			underLoad(t, l, func() {
				if r := l.Ensign(t.Context(), "ca", "rotate", "root", "--window", "2s"); r.Code != 0 {
					t.Fatal(r.Output)
				}
				reaches(t, l, step)
				r := l.Ensign(t.Context(), "ca", "rollback", "--reason", "test", "--wait=80s")
				now := status(t, l)
				// It may have been over a moment before.
				if r.Code != 0 && now.Rotation.Outcome != "rolled-back" {
					t.Fatalf("exit %d:\n%s", r.Code, r.Output)
				}
				if now.Signing().Fingerprint != before.Signing().Fingerprint {
					t.Errorf("%s signs, want %s", now.Signing().Name, before.Signing().Name)
				}
				onlyRoot(t, l, now)
			})
		})
	}
}

// What the old root signed opens nothing once the rotation is done.
func TestTheOldRootOpensNothingAfterwards(t *testing.T) {
	l := rotationMesh(t)
	// Of a pod's own: a chain of SVIDs that no agent reports would keep the gates waiting.
	loot, err := l.Pod("reader").StealKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	thief := lab.NewThief(l.Pod("outsider"), loot)
	if _, err := thief.Fresh(t.Context(), l.Pod("catalog"), 9080); err != nil {
		t.Fatalf("an SVID in force is refused: %v", err)
	}
	rotated(t, l, nil, "rotate", "root", "--window", "1s")
	if _, err := thief.Fresh(t.Context(), l.Pod("catalog"), 9080); err == nil {
		t.Error("an SVID of the old root is let in")
	}
}

// Whoever is killed, at whatever step: the rotation ends, and no request fails. (An
// Envoy takes the requests in its hands with it: its pod is one that none pass.)
func TestKillsAtEveryStepOfARotation(t *testing.T) {
	l := rotationMesh(t)
	victims := []struct {
		name string
		kill func(*testing.T)
	}{
		{"ensignd", func(t *testing.T) { killControl(t, l) }},
		{"vault", func(t *testing.T) {
			if err := l.Vault.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		{"agent", func(t *testing.T) { killAgent(t, l.Pod("storefront")) }},
		{"envoy", func(t *testing.T) { killEnvoy(t, l.Pod("aside")) }},
	}
	for _, step := range []string{"preparing", "distributing", "activating", "retiring"} {
		t.Run(step, func(t *testing.T) {
			underLoad(t, l, func() {
				for _, victim := range victims {
					t.Log(victim.name)
					rotated(t, l, func() {
						reaches(t, l, step)
						victim.kill(t)
					}, "rotate", "root", "--via", "vault", "--window", "1s")
				}
			})
		})
	}
}

// An Envoy that does not answer keeps the gate waiting, is named, and lets it go on
// when it wakes.
func TestAnEnvoyThatDoesNotAcknowledgeIsNamed(t *testing.T) {
	l := rotationMesh(t)
	pid := envoyOf(t, l.Pod("aside"))
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wake := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	defer wake()
	rotated(t, l, func() {
		keepsWaiting(t, l, "stock/aside", "")
		wake()
	}, "rotate", "root", "--window", "1s")
}

// A pod whose agent was away through the whole rotation comes back alone, with the
// bundle file from before.
func TestAnAgentThatWasAwayComesBack(t *testing.T) {
	l := rotationMesh(t)
	away := l.Pod("aside")
	stopPod(t, away)
	if r := l.Ensign(t.Context(), "ca", "rotate", "root", "--window", "1s", "--laggards", "skip-offline=2s", "--wait=80s"); r.Code != 0 {
		t.Fatalf("exit %d:\n%s", r.Code, r.Output)
	}
	after, skipped := status(t, l), false
	for _, event := range after.Rotation.Timeline {
		skipped = skipped || event.Verb == "skip" && strings.Contains(event.Detail, "stock/aside")
	}
	if !skipped {
		t.Errorf("the record does not say whom the rotation went on without: %+v", after.Rotation.Timeline)
	}
	roots, err := os.ReadFile(filepath.Join(away.Dir, "bundle.pem"))
	if err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(filepath.Join(l.Control.Data, "bundle.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(roots)) == strings.TrimSpace(string(now)) {
		t.Fatal("its bundle file is today's: this test does not test what it says")
	}
	if err := away.RestartAgent(t.Context()); err != nil {
		t.Fatalf("with the bundle file from before the rotation: %v", err)
	}
	allSynced(t, l)
	onlyRoot(t, l, after)
}

// stopPod ends a pod's agent and its Envoy.
func stopPod(t *testing.T, p *lab.Pod) {
	t.Helper()
	agent := p.Agent()
	if err := agent.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-agent.Done():
	case <-time.After(settled):
		t.Fatal("the agent does not end")
	}
}

// ensignd is killed again and again, at moments of its own choosing.
func TestARotationGoesOnWhereTheLedgerSays(t *testing.T) {
	l := rotationMesh(t)
	rotated(t, l, func() {
		for range 6 {
			killControl(t, l)
			time.Sleep(150 * time.Millisecond)
		}
	}, "rotate", "root", "--window", "1s")
	ledgerHolds(t, l)
}
