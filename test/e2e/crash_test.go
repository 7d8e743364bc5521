package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// allSynced waits until every proxy is connected again and has what it should.
func allSynced(t *testing.T, l *lab.Lab) {
	t.Helper()
	eventually(t, func() error {
		if r := l.Ensign(t.Context(), "proxy", "status", "--check"); r.Code != 0 {
			return fmt.Errorf("not synced:\n%s", r.Output)
		}
		return nil
	})
}

// The control plane and an agent die without a word; requests do not notice.
func TestKilledControlPlaneAndAgentUnderLoad(t *testing.T) {
	l := mesh(t)
	holds(t, l, probe{from: "reader", url: lab.BookURL, want: 200})
	zero, err := l.Zero(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	loads := background(t, l.Pod("reader"), lab.BookURL)
	time.Sleep(500 * time.Millisecond)

	if err := l.Control.Process().Kill(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if err := l.Control.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	allSynced(t, l)

	front := l.Pod("storefront")
	old := front.Agent()
	if err := old.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-old.Done()
	time.Sleep(time.Second)
	if err := front.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	allSynced(t, l)
	time.Sleep(500 * time.Millisecond)
	noneFailed(t, l, zero, loads())
	ledgerHolds(t, l)
}

// An Envoy dies: its agent ends with it, its pod is started again and works; the
// rest of the mesh is not disturbed.
func TestKilledEnvoyUnderLoad(t *testing.T) {
	l := mesh(t)
	holds(t, l, probe{from: "reader", url: books, want: 200}, probe{from: "reader", url: "http://mover.stock:9080/", want: 200})
	victim := l.Pod("mover-a")
	agent := victim.Agent()
	loads := background(t, l.Pod("reader"), books)
	time.Sleep(500 * time.Millisecond)
	pid := envoyOf(t, victim)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-agent.Done():
	case <-time.After(settled):
		t.Fatal("the agent outlives its Envoy")
	}
	if agent.ExitCode() == 0 {
		t.Error("the agent ended with code 0 though its Envoy was killed")
	}
	if err := victim.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, l, probe{from: "reader", url: "http://mover.stock:9080/", want: 200})
	if now := envoyOf(t, victim); now == pid {
		t.Errorf("the dead Envoy %d is still the pod's", pid)
	}
	time.Sleep(500 * time.Millisecond)
	for _, r := range loads() {
		if r.Failed > 0 || r.Sent == 0 {
			t.Errorf("requests to another pod: %v", r)
		}
	}
}

// A control plane that comes back, to proxies that have everything, sends nothing.
func TestReconnectSendsNothing(t *testing.T) {
	l := mesh(t)
	inForce(t, l)
	killControl(t, l)
	allSynced(t, l)
	sent, err := l.Control.Metric(t.Context(), "ensign_xds_sent_bytes_total")
	if err != nil {
		t.Fatal(err)
	}
	if sent != 0 {
		t.Errorf("%.0f bytes were sent to %d proxies that lacked nothing", sent, len(l.Sidecars()))
	}
}

// ledgerHolds verifies the ledger and wants no serial twice.
func ledgerHolds(t *testing.T, l *lab.Lab) {
	t.Helper()
	if r := l.Ensign(t.Context(), "audit", "verify"); r.Code != 0 {
		t.Errorf("the ledger does not verify:\n%s", r.Output)
	}
	if n := len(recordedSerials(t, l)); n < len(l.Sidecars()) {
		t.Errorf("%d certificates in the ledger for %d sidecars", n, len(l.Sidecars()))
	}
}
