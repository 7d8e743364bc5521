package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/ca"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// TestAFleetRotatesWithoutAGatePassedEarly is the simulation on a small scale: the
// fleet itself sees whether anybody was told more than all were ready for.
func TestAFleetRotatesWithoutAGatePassedEarly(t *testing.T) {
	// Were a gate to pass without the slow one, that would be seen.
	f := startRotatingFleet(t, shape{pods: 20, accounts: 5, slow: 1})
	for range 2 {
		c := f.rotate(t, time.Second)
		t.Log(c)
	}
	f.check(t)
	if n := f.broke(); n > 0 {
		t.Errorf("%d streams broke", n)
	}
	if all, _ := f.peak(); all != 20 {
		t.Errorf("%d SVIDs were issued by the last rotation, want one for each of 20", all)
	}
}

// TestAThousandRenewalsAtOnceWhileTheCARestarts: ensignd is killed twice while they
// ask. Each gets one that the ledger holds, no serial is there twice, and no gate passes
// early; a renewal that was refused for load or for the restart is asked for again.
func TestAThousandRenewalsAtOnceWhileTheCARestarts(t *testing.T) {
	f := startRotatingFleet(t, shape{pods: 1000, accounts: 1000, shed: true})
	f.rest()
	done := make(chan course, 1)
	go func() {
		defer close(done)
		done <- f.rotate(t, time.Second)
	}()
	for kills := 0; kills < 2; {
		all, _ := f.peak()
		if all > 150*(kills+1) {
			f.ensignd.restart(t)
			kills++
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Log(<-done)
	all, most := f.peak()
	t.Logf("%d SVIDs, at most %d in a second; %d streams broke", all, most, f.broke())
	f.check(t)
	f.recorded(t)
	if all < 1000 {
		t.Errorf("%d SVIDs for 1000", all)
	}
}

// recorded holds what everybody lives on against the ledger.
func (f *rotatingFleet) recorded(t *testing.T) {
	t.Helper()
	stream, err := f.ensignd.admin.FindEntries(t.Context(), &ensignv1.FindEntriesRequest{Kind: "svid", Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	serials := map[string]bool{}
	for {
		record, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var e ca.Entry
		if err := json.Unmarshal(record.Data, &e); err != nil {
			t.Fatal(err)
		}
		if serials[e.Serial] {
			t.Errorf("serial %s is in the ledger twice", e.Serial)
		}
		serials[e.Serial] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for pod, said := range f.reported {
		if !serials[said.serial] {
			t.Errorf("%s lives on %s, and the ledger does not hold it", pod, said.serial)
		}
	}
}

// BenchmarkRotation is a rotation of the built-in root with a window of 30 s, with
// simulated agents (see rotatingFleet) on a connection each. CPU and memory are
// those of ensignd, in a process of its own; the fleet uses the same machine. Use
// -benchtime 1x.
func BenchmarkRotation(b *testing.B) {
	for _, s := range []shape{
		{name: "workloads=1000", pods: 1000, accounts: 1000},
		// More than two cores sign in that window beside the fleet: some are told to come
		// again, which broken-streams counts.
		{name: "workloads=10000", pods: 10000, accounts: 10000, shed: true},
		// The limits are what the first SVIDs take: renewals pass because a rotation asks
		// for them, or not at all.
		{name: "one-account=1000", pods: 1000, accounts: 1, args: []string{"--issue-burst", "1000", "--issue-rate", "1", "--issue-per-day", "1000"}},
	} {
		b.Run(s.name, func(b *testing.B) {
			f := startRotatingFleet(b, s)
			for b.Loop() {
				rest, cpu := f.ensignd.memory(b, "VmRSS"), f.ensignd.cpu(b)
				c := f.rotate(b, 30*time.Second)
				used := f.ensignd.cpu(b) - cpu
				issued, most := f.peak()
				b.Log(c)
				b.ReportMetric(c.took().Seconds(), "s")
				b.ReportMetric(used.Seconds(), "cpu-s")
				b.ReportMetric(float64(used.Microseconds())/1000/float64(s.pods), "cpu-ms/workload")
				b.ReportMetric(float64(most), "peak-SVIDs/s")
				b.ReportMetric(float64(issued)/float64(s.pods), "SVIDs/workload")
				b.ReportMetric(float64(f.broke()), "broken-streams")
				b.ReportMetric(rest/(1<<20), "MiB-before")
				b.ReportMetric(f.ensignd.memory(b, "VmHWM")/(1<<20), "MiB-most")
			}
			b.ReportMetric(0, "ns/op")
			f.check(b)
		})
	}
}

// course is when each step of a rotation was seen.
type course struct {
	began time.Time
	steps []string
	at    []time.Time
}

func (c course) took() time.Duration { return c.at[len(c.at)-1].Sub(c.began) }

func (c course) String() string {
	parts := make([]string, len(c.steps))
	for i, step := range c.steps {
		parts[i] = fmt.Sprintf("%s +%.2fs", step, c.at[i].Sub(c.began).Seconds())
	}
	return strings.Join(parts, ", ")
}

// rotate replaces the root, and returns when the rotation is over.
func (f *rotatingFleet) rotate(t testing.TB, window time.Duration) course {
	t.Helper()
	f.rest()
	c := course{began: time.Now()}
	if _, err := f.ensignd.admin.RotateRoot(t.Context(), &ensignv1.RotateRootRequest{Window: durationpb.New(window), Reason: "bench"}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if f.watch(t, &c) {
			return c
		}
	}
	f.check(t)
	t.Fatalf("not over after %s", c)
	return c
}

// watch follows a rotation to its end, which it says, or until ensignd is away.
func (f *rotatingFleet) watch(t testing.TB, c *course) (over bool) {
	stream, err := f.ensignd.admin.WatchAuthority(t.Context(), &ensignv1.GetAuthorityRequest{})
	for err == nil {
		var a *ensignv1.Authority
		if a, err = stream.Recv(); err != nil {
			break
		}
		r := a.GetRotation()
		if len(c.steps) == 0 || c.steps[len(c.steps)-1] != r.GetStep() {
			c.steps, c.at = append(c.steps, r.GetStep()), append(c.at, time.Now())
		}
		switch r.GetOutcome() {
		case "completed":
			f.settled(t, a.GetBundle())
			return true
		case "running":
		default:
			t.Fatalf("%s: %s, late: %v", c, r.GetOutcome(), r.GetGate().GetLaggards())
		}
	}
	return false
}

// settled fails unless everybody has reported a bundle: the last gate waits for it.
func (f *rotatingFleet) settled(t testing.TB, bundle string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, said := range f.reported {
		if said.bundle != bundle {
			t.Errorf("the rotation is over, and %s has another bundle than %s", name, bundle)
		}
	}
}
