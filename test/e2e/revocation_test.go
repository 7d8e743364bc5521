package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/load"
)

// guardEcho makes the echo's port one that refuses some: there, a connection gets
// its upstream only with its first byte.
const guardEcho = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: echo, namespace: stock}
spec:
  selector: {matchLabels: {app: echo}}
  action: ALLOW
  rules:
  - from: [{source: {namespaces: [shop]}}]
`

// A stolen key works in every way, is revoked, and then works in none; neighbours
// do not notice, and the owner is back with a new key.
func TestARevokedKeyIsRefusedInEveryWay(t *testing.T) {
	l := mesh(t)
	for _, guarded := range []bool{false, true} {
		t.Run(fmt.Sprintf("guarded=%t", guarded), func(t *testing.T) {
			if guarded {
				apply(t, l, guardEcho)
				inForce(t, l)
			}
			thief, holds := robbed(t, l, "courier")
			zero, err := l.Zero(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			loads := background(t, l.Pod("reader"), lab.BookURL)
			neighbour := neighbouringEcho(t, l)
			time.Sleep(time.Second)
			serial := thief.Cert.Leaf.SerialNumber.Text(16)
			timeline, err := lab.CutOff(t.Context(), holds, func() lab.Result {
				return l.Ensign(t.Context(), "revoke", "--serial", serial, "--reason", "key stolen", "--wait")
			})
			t.Logf("timeline:\n%s", timeline)
			if err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			if err := neighbour.Echo(); err != nil {
				t.Errorf("a neighbour's live TCP connection: %v", err)
			}
			if _, err := thief.Fresh(t.Context(), l.Pod("catalog"), 9080); err == nil {
				t.Error("a new connection is let in")
			}
			neighboursUnharmed(t, l, zero, loads())
			back(t, l, "courier", serial)
		})
	}
}

// robbed is a thief with the key that a pod uses, and all that it holds open.
func robbed(t *testing.T, l *lab.Lab, victim string) (*lab.Thief, []lab.Hold) {
	t.Helper()
	loot, err := l.Pod(victim).StealKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	thief := lab.NewThief(l.Pod("outsider"), loot)
	holds, err := thief.Holds(t.Context(), l.Pod("catalog"), l.Pod("echo"))
	if err != nil {
		t.Fatalf("the thief can't do what it should be kept from: %v", err)
	}
	t.Cleanup(func() {
		for _, h := range holds {
			h.Close()
		}
	})
	return thief, holds
}

// neighbouringEcho is a live TCP connection of somebody else's.
func neighbouringEcho(t *testing.T, l *lab.Lab) *lab.ThiefTCP {
	t.Helper()
	cert, err := l.Pod("reader").StealKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := lab.NewThief(l.Pod("outsider"), cert).TCP(t.Context(), l.Pod("echo"), 7000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.Echo(); err != nil {
		t.Fatal(err)
	}
	return conn
}

// neighboursUnharmed is noneFailed, but for what the thief's targets count when
// they refuse it.
func neighboursUnharmed(t *testing.T, l *lab.Lab, before lab.Zero, reports []load.Report) {
	t.Helper()
	for _, r := range reports {
		t.Log(r)
		if r.Failed > 0 || r.Sent < 20 {
			t.Errorf("%d of %d requests of neighbours failed", r.Failed, r.Sent)
		}
	}
	after, err := l.Zero(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	delta := after.Since(before)
	t.Logf("every Envoy meanwhile:\n%s", delta)
	for _, target := range []string{"catalog", "echo"} {
		for _, counter := range []string{"ssl.connection_error", "ssl.fail_verify_error"} {
			delete(delta[target], counter)
		}
	}
	if faults := delta.Faults(); len(faults) > 0 {
		t.Errorf("faults behind the clients' back: %s", strings.Join(faults, "; "))
	}
}

// back waits until a robbed pod works with another key.
func back(t *testing.T, l *lab.Lab, victim, stolen string) {
	t.Helper()
	name := l.Pod(victim).Namespace + "/" + victim
	for deadline := time.Now().Add(time.Minute); serials(t, l)[name] == stolen; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s still uses the stolen key", victim)
		}
	}
	holds(t, l, probe{from: victim, url: books, want: 200})
}

// A thief answers for another pod with that pod's own key: clients believe it, and
// do not once the key is revoked.
func TestARevokedServerIsRefusedByItsClients(t *testing.T) {
	l := mesh(t)
	const url = "http://mover.stock:9080/"
	reader, mover := l.Pod("reader"), l.Pod("mover-a")
	loot, err := mover.StealKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	thief := lab.NewThief(l.Pod("outsider"), loot)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := thief.Serve(ctx, 9080); err != nil {
		t.Fatal(err)
	}
	_, restore, err := l.StealAddress(t.Context(), thief.Pod, mover, reader)
	if err != nil {
		t.Fatal(err)
	}
	restored := false
	defer func() {
		if !restored {
			restore()
		}
	}()
	fooled := func() (bool, string) {
		o := ask(t.Context(), reader, url)
		return o.status == 200 && strings.Contains(o.body, "thief"), fmt.Sprintf("%d %s", o.status, o.body)
	}
	eventually(t, func() error {
		if is, what := fooled(); !is {
			return fmt.Errorf("the thief is not believed before it is revoked, so this test tests nothing: %s", what)
		}
		return nil
	})
	serial := loot.Leaf.SerialNumber.Text(16)
	start := time.Now()
	if r := l.Ensign(t.Context(), "revoke", "--serial", serial, "--reason", "key stolen", "--wait"); r.Code != 0 {
		t.Errorf("revoke: %s", r.Output)
	}
	t.Logf("revoked after %s", time.Since(start))
	for range 20 {
		if is, what := fooled(); is {
			t.Fatalf("believed after it was revoked: %s", what)
		}
	}
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	restored = true
	holds(t, l, probe{from: "reader", url: url, want: 200})
}

// An agent that is away while somebody is cut off is named as late; when it is
// back, it ends what it finds open.
func TestAnAgentThatRestartsInMidQuarantineStillCuts(t *testing.T) {
	l := mesh(t)
	thief, held := robbed(t, l, "courier")
	_ = thief
	tcp := slices.IndexFunc(held, func(h lab.Hold) bool { return h.Name == "TCP, live" })
	echo := l.Pod("echo")
	old := echo.Agent()
	if err := old.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-old.Done()
	id := l.Pod("courier").ID()
	r := l.Ensign(t.Context(), "quarantine", id, "--wait=2s")
	if r.Code != 1 || !strings.Contains(r.Output, "stock/echo") {
		t.Errorf("an agent that is away is not named: exit %d\n%s", r.Code, r.Output)
	}
	defer func() {
		if r := l.Ensign(context.Background(), "release", id); r.Code != 0 {
			t.Errorf("release: %s", r.Output)
		}
		holds(t, l, probe{from: "courier", url: books, want: 200})
	}()
	if err := held[tcp].Try(t.Context()); err != nil {
		t.Fatalf("cut without its agent, so this test tests nothing: %v", err)
	}
	if err := echo.StartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := time.Now()
	if at, why := held[tcp].Refused(ctx); at.IsZero() {
		t.Error("the restarted agent did not end the connection: ", why)
	}
	t.Logf("ended %s after the agent was back", time.Since(start))
	if r := l.Ensign(t.Context(), "quarantine", id, "--wait=20s"); r.Code != 0 {
		t.Errorf("not obeyed by all in the end:\n%s", r.Output)
	}
}

// Where the agent may not end connections, their chain is replaced, which ends all of
// them within Envoy's drain time; status says so.
func TestAnAgentThatMayNotCutHasTheChainReplaced(t *testing.T) {
	l := mesh(t)
	loot, err := l.Pod("courier").StealKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	thief := lab.NewThief(l.Pod("outsider"), loot)
	held, err := thief.TCP(t.Context(), l.Pod("confined"), 7000)
	if err == nil {
		err = held.Echo()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	serial := loot.Leaf.SerialNumber.Text(16)
	if r := l.Ensign(t.Context(), "revoke", "--serial", serial, "--wait=30s"); r.Code != 0 {
		t.Errorf("revoke: %s", r.Output)
	}
	if err := held.Echo(); err == nil {
		t.Error("all obey, and the thief's connection is still open")
	}
	if r := l.Ensign(t.Context(), "proxy", "status"); !strings.Contains(r.Output, "OBEYS (drain)") {
		t.Errorf("status does not say how connections end there:\n%s", r.Output)
	}
	back(t, l, "courier", serial)
}

// In quarantine an identity is kept out in both directions; released, all is as before.
func TestQuarantineAndRelease(t *testing.T) {
	l := mesh(t)
	const url = "http://mover.stock:9080/"
	id := l.Pod("mover-a").ID()
	holds(t, l, probe{from: "reader", url: url, want: 200}, probe{from: "mover-a", url: books, want: 200})
	if r := l.Ensign(t.Context(), "quarantine", id, "--reason", "drill", "--wait"); r.Code != 0 {
		t.Errorf("quarantine: %s", r.Output)
	}
	for from, url := range map[string]string{"reader": url, "mover-a": books} {
		if o := ask(t.Context(), l.Pod(from), url); o.status == 200 {
			t.Errorf("%s asks %s: served in quarantine", from, url)
		}
	}
	if r := l.Ensign(t.Context(), "release", id); r.Code != 0 {
		t.Errorf("release: %s", r.Output)
	}
	holds(t, l, probe{from: "reader", url: url, want: 200}, probe{from: "mover-a", url: books, want: 200})
	ledgerHolds(t, l)
}

// Wherever ensignd dies after the act was answered, the act is in force afterwards.
func TestAnActSurvivesEveryCrash(t *testing.T) {
	l := mesh(t)
	// Another victim each time: an agent whose new keys are revoked again and again
	// asks for the next one later and later.
	for victim, after := range map[string]time.Duration{
		"reader": 0, "mover-a": time.Millisecond, "mover-b": 5 * time.Millisecond, "impostor": 30 * time.Millisecond, "reviews-v1": 200 * time.Millisecond,
	} {
		thief, held := robbed(t, l, victim)
		serial := thief.Cert.Leaf.SerialNumber.Text(16)
		done := make(chan lab.Result, 1)
		go func() { done <- l.Ensign(t.Context(), "revoke", "--serial", serial, "--reason", "crash drill") }()
		var r lab.Result
		answered := after > 5*time.Millisecond
		if answered {
			r = <-done
			time.Sleep(after - 5*time.Millisecond)
		} else {
			time.Sleep(after)
		}
		if err := l.Control.Process().Kill(); err != nil {
			t.Fatal(err)
		}
		if !answered {
			r = <-done
		}
		if err := l.Control.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.Code != 0 {
			// It was not answered, so it need not be there; it is ordered again.
			if again := l.Ensign(t.Context(), "revoke", "--serial", serial, "--reason", "crash drill"); again.Code != 0 {
				t.Fatalf("ordered again: %s", again.Output)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		for _, h := range held {
			if at, why := h.Refused(ctx); at.IsZero() {
				t.Errorf("killed %s after the order: %s: %v", after, h.Name, why)
			}
		}
		cancel()
		back(t, l, victim, serial)
	}
	ledgerHolds(t, l)
}
