package daemon

import (
	"context"
	"errors"
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
		say("web-0", "", time.Now())
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

// TestWhoseRowsGo: those of pods that the mesh does not have, and that hold no SVID, be it
// bound to them or acknowledged by them. Of an empty picture, nobody's.
func TestWhoseRowsGo(t *testing.T) {
	f := &flock{}
	f.issuer("i1", "r1")
	f.svid("web", "web-2", "2f", "", "i1")
	f.svid("web", "", "3f", "3e", "i1")
	f.acks = []report.Ack{ackBy("web-3", "web", "3e"), ackBy("web-4", "web", "4f")}
	for n := range 6 {
		f.reports = append(f.reports, wordOf(fmt.Sprint("web-", n), "", time.Now()))
	}
	sweep := func(want int, pods ...string) (gone []string) {
		people := f.followers(t, pods...)
		people.prune = func(_ context.Context, is func(namespace, pod string) bool) (int, error) {
			for n := range 6 {
				if pod := fmt.Sprint("web-", n); is("shop", pod) {
					gone = append(gone, pod)
				}
			}
			return len(gone), f.err
		}
		if err := people.refresh(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := people.sweep(t.Context()); !errors.Is(err, f.err) {
			t.Error(err)
		}
		if left := len(people.testimony.reports); left != want {
			t.Errorf("%d reports in memory, want %d", left, want)
		}
		return gone
	}
	if gone := sweep(3, "web-1"); !slices.Equal(gone, []string{"web-0", "web-4", "web-5"}) {
		t.Errorf("gone: %v", gone)
	}
	if gone := sweep(6); gone != nil {
		t.Errorf("gone from an empty picture: %v", gone)
	}
	f.err = errors.New("disk")
	f.reports = f.reports[:1]
	if people := f.followers(t, "web-1"); people.refresh(t.Context(), time.Now()) == nil {
		t.Error("who holds what is known, by a ledger that can not be read")
	}
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
