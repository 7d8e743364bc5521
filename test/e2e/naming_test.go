package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
	"github.com/ensign-mesh/ensign/test/lab/load"
)

// A pod of the mesh, with a good certificate, answers for another's address.
func TestAServerWithAnotherIdentityIsRefused(t *testing.T) {
	l := mesh(t)
	reader := l.Pod("reader")
	holds(t, l, probe{from: "reader", url: books, want: 200})
	before, err := reader.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, restore, err := l.StealAddress(t.Context(), l.Pod("impostor"), l.Pod("catalog"), reader)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := restore(); err != nil {
			t.Error(err)
		}
		holds(t, l, probe{from: "reader", url: books, want: 200})
	}()
	eventually(t, func() error {
		o := ask(t.Context(), reader, books)
		if o.hop.Service == "impostor" {
			t.Fatal("the impostor's answer was believed")
		}
		after, err := reader.Stats(t.Context())
		if err != nil {
			return err
		}
		if o.status != 503 || after.Sum("ssl.fail_verify_san") == before.Sum("ssl.fail_verify_san") {
			return fmt.Errorf("status %d, %d refusals by name", o.status, after.Sum("ssl.fail_verify_san"))
		}
		return nil
	})
}

// The service's pods move from one account to another under load. Clients must
// learn the new name before the new address, or they refuse the right server.
func TestEndpointsMoveToAnotherAccountUnderLoad(t *testing.T) {
	l := mesh(t)
	const url = "http://mover.stock:9080/"
	reader := l.Pod("reader")
	holds(t, l, probe{from: "reader", url: url, want: 200})
	zero, err := l.Zero(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	loads := background(t, reader, url)
	for _, step := range []struct{ to, from string }{{"mover-b", "mover-a"}, {"mover-a", "mover-b"}} {
		time.Sleep(time.Second)
		l.Pod(step.to).SetLabels(map[string]string{"app": "mover"})
		l.Pod(step.from).SetLabels(nil)
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			if o := ask(t.Context(), reader, url); o.hop.Service != step.to {
				return fmt.Errorf("%d by %q, want %s", o.status, o.hop.Service, step.to)
			}
			return nil
		})
	}
	time.Sleep(time.Second)
	// A connection that was in the making when its endpoint went is counted, and
	// its request goes to the next: that is a move, not a fault.
	noneFailed(t, l, zero, loads(), "upstream_cx_connect_fail")
}

// background loads a URL on fresh and on kept connections; the function that it
// answers ends both and gives the two reports.
func background(t *testing.T, from *lab.Pod, url string) func() []load.Report {
	t.Helper()
	ctx, stop := contextWithStop(t)
	reports := make(chan load.Report, 2)
	for _, fresh := range []bool{true, false} {
		go func() {
			r, err := from.Load(ctx, load.Plan{URL: url, Fresh: fresh, Workers: 2, Rate: 50, For: time.Minute})
			if err != nil {
				t.Error(err)
			}
			reports <- r
		}()
	}
	return func() []load.Report {
		stop()
		return []load.Report{<-reports, <-reports}
	}
}

// noneFailed wants an honest zero: no failed request, and no fault that an Envoy
// counted and a client did not see, but for the counters that are excused.
func noneFailed(t *testing.T, l *lab.Lab, before lab.Zero, reports []load.Report, excused ...string) {
	t.Helper()
	for _, r := range reports {
		t.Log(r)
		if r.Failed > 0 || r.Sent < 20 {
			t.Errorf("%d of %d requests failed", r.Failed, r.Sent)
		}
	}
	after, err := l.Zero(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	delta := after.Since(before)
	t.Logf("every Envoy meanwhile:\n%s", delta)
	if faults := delta.Faults(excused...); len(faults) > 0 {
		t.Errorf("faults behind the clients' back: %s", strings.Join(faults, "; "))
	}
}
