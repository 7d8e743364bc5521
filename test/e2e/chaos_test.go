package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// kills is how often something dies in the test below.
const kills = 12

// Whatever is killed, whenever: traffic goes on, and every certificate that was
// answered is in the ledger, none of them twice.
func TestRandomKillsUnderLoad(t *testing.T) {
	l := mesh(t)
	holds(t, l, probe{from: "reader", url: lab.BookURL, want: 200})
	answered, stop := keepAsking(t, l)
	loads := background(t, l.Pod("reader"), lab.BookURL)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range kills {
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		switch victims := []string{"storefront", "catalog", "reviews-v1", "mover-a", "mover-b"}; random.IntN(3) {
		case 0:
			killControl(t, l)
		case 1:
			killAgent(t, l.Pod(victims[random.IntN(len(victims))]))
		default:
			// Requests that an Envoy was carrying go with it: one that the load does
			// not pass through.
			killEnvoy(t, l.Pod(victims[3+random.IntN(2)]))
		}
	}
	allSynced(t, l)
	for _, r := range loads() {
		if t.Log(r); r.Failed > 0 || r.Sent < 20 {
			t.Errorf("%d of %d requests failed", r.Failed, r.Sent)
		}
	}
	stop()
	holds(t, l, probe{from: "reader", url: "http://mover.stock:9080/", want: 200})
	ledgerHolds(t, l)
	recorded := recordedSerials(t, l)
	t.Logf("%d certificates were answered meanwhile", len(answered()))
	for _, serial := range answered() {
		if !recorded[serial] {
			t.Errorf("certificate %s was answered, and the ledger lacks it", serial)
		}
	}
}

func killControl(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := l.Control.Process().Kill(); err != nil {
		t.Fatal(err)
	}
	if err := l.Control.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// killAgent kills the agent alone; its Envoy is for the next agent to find. That has the
// bundle file of before.
func killAgent(t *testing.T, p *lab.Pod) {
	t.Helper()
	if err := p.KillAgent(); err != nil {
		t.Fatal(err)
	}
	if err := p.RestartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func killEnvoy(t *testing.T, p *lab.Pod) {
	t.Helper()
	if err := p.KillEnvoy(); err != nil {
		t.Fatal(err)
	}
	if err := p.RestartAgent(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func envoyOf(t *testing.T, p *lab.Pod) int {
	t.Helper()
	pid, err := p.EnvoyPID()
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// keepAsking gets certificates without pause; refusals are expected while the
// control plane is away. It gives the serials that were answered.
func keepAsking(t *testing.T, l *lab.Lab) (answered func() []string, stop func()) {
	t.Helper()
	ctx, cancel := contextWithStop(t)
	var mu sync.Mutex
	var serials []string
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			one, end := context.WithTimeout(ctx, 2*time.Second)
			cert, err := l.SVID(one, "shop", "reader", time.Minute)
			end()
			if err == nil {
				mu.Lock()
				serials = append(serials, fmt.Sprintf("%x", cert.Leaf.SerialNumber))
				mu.Unlock()
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() []string { mu.Lock(); defer mu.Unlock(); return serials }, func() { cancel(); done.Wait() }
}

func recordedSerials(t *testing.T, l *lab.Lab) map[string]bool {
	t.Helper()
	r := l.Ensign(t.Context(), "audit", "list", "--kind", "svid", "-o", "json")
	var entries []struct {
		Serial string `json:"serial"`
	}
	if err := json.Unmarshal([]byte(r.Output), &entries); err != nil {
		t.Fatalf("%v: %s", err, r.Output)
	}
	recorded := map[string]bool{}
	for _, e := range entries {
		if e.Serial == "" || recorded[e.Serial] {
			t.Errorf("serial %q twice, or none", e.Serial)
		}
		recorded[e.Serial] = true
	}
	return recorded
}
