package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// The root is replaced, key and all, and then put back; nobody notices. What the old
// root signed is refused afterwards.
func TestTheRootIsReplacedUnderLoad(t *testing.T) {
	l := rotationMesh(t)
	old := status(t, l)
	underLoad(t, l, func() {
		rotate(t, l, "--window", "3s", "--wait=80s")
		now := ended(t, l, "completed")
		t.Logf("timeline:\n%s", timeline(now))
		if now.signing() == old.signing() {
			t.Error("the same root signs")
		}
		onlyRoot(t, l, now)

		if r := l.Ensign(t.Context(), "ca", "rollback", "--reason", "test", "--wait=80s"); r.Code != 0 {
			t.Fatalf("rollback: exit %d:\n%s", r.Code, r.Output)
		}
		back := ended(t, l, "completed")
		if back.signing() != old.signing() || back.Bundle != old.Bundle {
			t.Errorf("signing %s with bundle %s, want %s and %s", back.signing(), back.Bundle, old.signing(), old.Bundle)
		}
		onlyRoot(t, l, back)
	})
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
	rotate(t, l, "--window", "1s", "--wait=80s")
	if _, err := thief.Fresh(t.Context(), l.Pod("catalog"), 9080); err == nil {
		t.Error("an SVID of the old root is let in")
	}
}

// Whoever is killed, at whatever step: the rotation ends, and no request fails. (An
// Envoy takes the requests in its hands with it: its pod is one that none pass.)
func TestKillsAtEveryStepOfARotation(t *testing.T) {
	l := rotationMesh(t)
	kills := map[string]func(*testing.T){
		"ensignd": func(t *testing.T) { killControl(t, l) },
		"agent":   func(t *testing.T) { killAgent(t, l.Pod("storefront")) },
		"envoy":   func(t *testing.T) { killEnvoy(t, l.Pod("aside")) },
	}
	for _, step := range []string{"preparing", "distributing", "activating", "retiring"} {
		for victim, kill := range kills {
			t.Run(fmt.Sprintf("%s while %s", victim, step), func(t *testing.T) {
				allSynced(t, l)
				before := status(t, l)
				underLoad(t, l, func() {
					rotate(t, l, "--window", "1s")
					reaches(t, l, step)
					kill(t)
					now := ended(t, l, "completed")
					t.Logf("timeline:\n%s", timeline(now))
					if now.signing() == before.signing() {
						t.Error("the same root signs")
					}
					onlyRoot(t, l, now)
				})
			})
		}
	}
}

// An Envoy that does not answer keeps the gate waiting, is named, and lets it go on
// when it wakes. Rolled back meanwhile, it is waited for on the way back too.
func TestAnEnvoyThatDoesNotAcknowledgeIsNamed(t *testing.T) {
	l := rotationMesh(t)
	pid := envoyOf(t, l.Pod("aside"))
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	wake := func() { _ = syscall.Kill(pid, syscall.SIGCONT) }
	defer wake()
	rotate(t, l, "--window", "1s")
	named := func(gate string) {
		t.Helper()
		eventually(t, func() error {
			a := status(t, l)
			for _, laggard := range a.Rotation.Gate.Laggards {
				if laggard.Name == "stock/aside" && a.Rotation.Gate.Name == gate && a.Rotation.Gate.Ready == a.Rotation.Gate.Instances-1 {
					t.Logf("named: %s", laggard.Reason)
					return nil
				}
			}
			return fmt.Errorf("gate %+v", a.Rotation.Gate)
		})
	}
	named("new-bundle")
	time.Sleep(2 * time.Second)
	if got := status(t, l).step(); got != "distributing" {
		t.Errorf("the rotation is at %s though an Envoy has not acknowledged", got)
	}
	wake()
	ended(t, l, "completed")
}

// A pod whose agent was away through the whole rotation comes back alone, with the
// bundle file from before.
func TestAnAgentThatWasAwayComesBack(t *testing.T) {
	l := rotationMesh(t)
	away := l.Pod("aside")
	stopPod(t, away)
	rotate(t, l, "--window", "1s", "--laggards", "skip-offline=2s", "--wait=80s")
	after := status(t, l)
	if !slices.ContainsFunc(after.Rotation.Timeline, func(e event) bool { return e.Verb == "skip" }) {
		t.Error("nobody was skipped on the record")
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
	rotate(t, l, "--window", "1s")
	for range 6 {
		killControl(t, l)
		time.Sleep(150 * time.Millisecond)
	}
	ended(t, l, "completed")
	ledgerHolds(t, l)
}
