package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

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

// BenchmarkRotation is a rotation of the built-in root with a window of 30 s, with
// simulated agents (see rotatingFleet) on a connection each. CPU and memory are
// those of ensignd, in a process of its own; the fleet uses the same machine. Use
// -benchtime 1x.
func BenchmarkRotation(b *testing.B) {
	for _, s := range []shape{
		{name: "workloads=1000", pods: 1000, accounts: 1000},
		{name: "workloads=10000", pods: 10000, accounts: 10000},
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
	stream, err := f.ensignd.admin.WatchAuthority(t.Context(), &ensignv1.GetAuthorityRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		a, err := stream.Recv()
		if err != nil {
			f.check(t)
			t.Fatalf("%v after %s", err, c)
		}
		r := a.GetRotation()
		if len(c.steps) == 0 || c.steps[len(c.steps)-1] != r.GetStep() {
			c.steps, c.at = append(c.steps, r.GetStep()), append(c.at, time.Now())
		}
		switch r.GetOutcome() {
		case "completed":
			f.settled(t, a.GetBundle())
			return c
		case "running":
		default:
			t.Fatalf("%s: %s, late: %v", c, r.GetOutcome(), r.GetGate().GetLaggards())
		}
	}
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
