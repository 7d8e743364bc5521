package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// A full disk holds a rotation up where it is, and ensignd says so with what to do; what
// is live goes on, nothing is issued, and with room again all goes on by itself.
func TestAFullDiskHoldsARotationUpUnderLoad(t *testing.T) {
	l := onSmallDisks(t)
	ensignd := l.Control.Process()
	underLoad(t, l, func() {
		beginsNothing(t, l)
		// Without Vault, the rotation is in preparing for long enough.
		if err := l.Vault.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		rotated(t, l, func() {
			heldBack(t, l, "preparing", func() error { return l.Vault.Unseal(t.Context()) })
			for _, step := range []string{"distributing", "activating", "retiring"} {
				heldBack(t, l, step, nil)
			}
		}, "rotate", "root", "--via", "vault", "--window", "2s")
		notTakenOver(t, l)
	})
	allSynced(t, l)
	select {
	case <-ensignd.Done():
		t.Error("ensignd has ended meanwhile")
	default:
	}
}

// onSmallDisks is a mesh of its own, whose ensignd keeps its data on a small disk, as the
// agent of the pod "narrow" does.
func onSmallDisks(t *testing.T) *lab.Lab {
	t.Helper()
	cfg := besideVault(t, "")
	cfg.DataDisk = 16 << 20
	l := ownMesh(t, cfg)
	narrow := bystander("narrow")
	narrow.RunDisk = 1 << 20
	if err := l.AddPods(t.Context(), narrow); err != nil {
		t.Fatal(err)
	}
	return l
}

// beginsNothing wants each act refused while the disk is full, and not done.
func beginsNothing(t *testing.T, l *lab.Lab) {
	t.Helper()
	fill(t, l.Control.Disk)
	for _, args := range [][]string{
		{"ca", "rotate", "root"}, {"proxy", "renew", "stock/aside"}, {"quarantine", "spiffe://cluster.local/ns/stock/sa/echo"},
		{"token", "create", "--namespace", "shop", "--serviceaccount", "reader", "--out", t.TempDir() + "/token"},
	} {
		r := l.Ensign(t.Context(), args...)
		if r.Code == 0 || !strings.Contains(r.Output, "is full: make room") || strings.Contains(r.Output, "does not answer") {
			t.Errorf("%s: exit %d: %s", r.Line, r.Code, r.Output)
		}
	}
	if err := l.Control.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "is full: make room") {
		t.Errorf("readiness: %v", err)
	}
	saysSo(t, l)
	nothingUnlogged(t, l)
	makeRoom(t, l)
	if now := status(t, l); now.Rotation != nil {
		t.Errorf("a rotation that was refused has begun: %+v", now.Rotation)
	}
}

// heldBack fills the disk in a step, does something else then, and wants the rotation to stay there until there is
// room again.
func heldBack(t *testing.T, l *lab.Lab, step string, then func() error) {
	t.Helper()
	reaches(t, l, step)
	fill(t, l.Control.Disk)
	before := status(t, l).Rotation
	if then != nil {
		if err := then(); err != nil {
			t.Fatal(err)
		}
	}
	saysSo(t, l)
	time.Sleep(2 * time.Second)
	now := status(t, l).Rotation
	t.Logf("%s, disk full: %d of %d ready, %s", now.Step, now.Gate.Ready, now.Gate.Instances, now.Problem)
	if before.Step != step {
		t.Errorf("full at %s, and not at %s: this test does not test what it says", before.Step, step)
	}
	if now.Step != before.Step {
		t.Errorf("on a full disk %s goes on to %s", before.Step, now.Step)
	}
	nothingUnlogged(t, l)
	makeRoom(t, l)
}

// notTakenOver fills the disk of an agent, which cannot keep the roots then: its next
// process would believe others. The gate names it, and waits.
func notTakenOver(t *testing.T, l *lab.Lab) {
	t.Helper()
	disk := l.Pod("narrow").Disk
	fill(t, disk)
	rotated(t, l, func() {
		keepsWaiting(t, l, "stock/narrow", "no space left")
		if err := disk.Empty(); err != nil {
			t.Fatal(err)
		}
	}, "rotate", "root", "--via", "builtin", "--window", "1s")
}

func fill(t *testing.T, disk *lab.Disk) {
	t.Helper()
	if err := disk.Fill(); err != nil {
		t.Fatal(err)
	}
}

// saysSo waits until `ca status` says what ails ensignd, and what to do.
func saysSo(t *testing.T, l *lab.Lab) {
	t.Helper()
	eventually(t, func() error {
		if r := l.Ensign(t.Context(), "ca", "status"); r.Code != 0 || !strings.Contains(r.Output, "is full: make room") {
			return fmt.Errorf("%s: exit %d:\n%s", r.Line, r.Code, r.Output)
		}
		return nil
	})
}

// makeRoom waits until ensignd is well again, by itself.
func makeRoom(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := l.Control.Disk.Empty(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return l.Control.Ready(t.Context()) })
}

// nothingUnlogged wants every Envoy to serve an SVID that the ledger holds.
func nothingUnlogged(t *testing.T, l *lab.Lab) {
	t.Helper()
	recorded := recordedSerials(t, l)
	for _, p := range l.Sidecars() {
		cert, err := p.StealKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if serial := cert.Leaf.SerialNumber.Text(16); !recorded[serial] {
			t.Errorf("the Envoy of %s serves SVID %s, which the ledger lacks", p.Name, serial)
		}
	}
}
