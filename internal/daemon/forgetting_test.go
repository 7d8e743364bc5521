package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ensign-mesh/ensign/ca/report"
)

// wordOf is what the agent of a pod of web says.
func wordOf(pod, serial string, at time.Time) report.Report {
	return report.Report{Namespace: "shop", Pod: pod, PodUID: "u-" + pod, SPIFFEID: webID, Bound: true, AckedSerial: serial, ReceivedAt: at}
}

// TestAgentsDoNotFillTheMemory while no gate asks: neither by serials that there are
// not, nor by pods that are long gone.
func TestAgentsDoNotFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flock{}
		f.issuer("i1", "r1")
		f.svid("web", "", "1f", "", "i1")
		people := f.followers(t, "web-1")
		people.log = slog.New(slog.DiscardHandler)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- people.run(ctx) }()
		say := func(pod, serial string, at time.Time) {
			if err := people.testimony.Put(ctx, wordOf(pod, serial, at)); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 5000 {
			say("web-1", fmt.Sprintf("a%x", n), time.Now())
		}
		say("web-1", "1f", time.Now())
		say("web-0", "", time.Now().Add(-7*24*time.Hour))
		time.Sleep(2 * pruneEvery)
		synctest.Wait()
		if acks, reports := people.testimony.acks, people.testimony.reports; len(acks) != 1 || len(acks["1f"]) != 1 || len(reports) != 1 {
			t.Errorf("%d serials and %d reports are kept", len(acks), len(reports))
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestAClockThatIsSetBack: while it was ahead, all SVIDs had ended. They live again, and
// what is said now counts more than what was heard then.
func TestAClockThatIsSetBack(t *testing.T) {
	f := &flock{}
	f.issuer("i1", "r1")
	f.svid("web", "web-1", "1f", "", "i1")
	now := time.Now()
	f.reports = []report.Report{wordOf("web-1", "2f", now.Add(time.Hour))}
	people := f.followers(t, "web-1")
	ahead := now.Add(2 * time.Hour)
	if err := people.refresh(t.Context(), ahead); err != nil || len(people.census.svids) != 0 {
		t.Fatalf("%v, %d SVIDs", err, len(people.census.svids))
	}
	if err := people.testimony.Put(t.Context(), wordOf("web-1", "1f", now)); err != nil {
		t.Fatal(err)
	}
	got, _, err := people.Instances(t.Context())
	if err != nil || !slices.Equal(lines(got), []string{"shop/web-1: 1f@r1 acked 1f"}) {
		t.Errorf("%v, %v", lines(got), err)
	}
}
