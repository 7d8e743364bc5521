package agent

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/connections"
	"github.com/ensign-mesh/ensign/sds"
)

// parts are the two that obey a follower, played.
type parts struct {
	mu      sync.Mutex // guards all below
	orders  []connections.Orders
	lists   []uint64
	state   connections.State
	acked   sds.Acknowledged
	changed chan struct{}
}

func newParts() *parts {
	return &parts{changed: make(chan struct{}), state: connections.State{Method: connections.MethodPIDFD}}
}

func (p *parts) Apply(o connections.Orders) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders = append(p.orders, o)
}

func (p *parts) State() (connections.State, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.changed
}

func (p *parts) SetCRLs(revision uint64, _ [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lists = append(p.lists, revision)
}

func (p *parts) Acknowledged() (sds.Acknowledged, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked, p.changed
}

func (p *parts) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

func followerIn(t *testing.T, dir string, p *parts, logs io.Writer) *follower {
	logger := slog.New(slog.NewTextHandler(io.MultiWriter(logs, t.Output()), nil))
	f := newFollower(p, p, cutOffFile(filepath.Join(dir, "cutoff")), newMetrics(prometheus.NewRegistry()), logger)
	f.resume()
	return f
}

// follow runs a follower in a bubble of fake time.
func follow(t *testing.T, dir string, p *parts, check func(f *follower, logs *logBuffer)) {
	synctest.Test(t, func(t *testing.T) {
		p.changed = make(chan struct{})
		var logs logBuffer
		f := followerIn(t, dir, p, &logs)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- f.run(ctx) }()
		synctest.Wait()
		check(f, &logs)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func obedienceOf(f *follower) *ensignv1.Obedience {
	synctest.Wait()
	obedience, _ := f.watch()
	return obedience
}

func TestACutOffIsObeyedKeptAndTold(t *testing.T) {
	dir, p := t.TempDir(), newParts()
	follow(t, dir, p, func(f *follower, _ *logBuffer) {
		if got := obedienceOf(f); got != nil {
			t.Errorf("before the first: %v", got)
		}
		f.take(someCutOff(7))
		if got := obedienceOf(f); got.GetRevision() != 0 || got.GetMethod() != ensignv1.CutMethod_CUT_METHOD_PIDFD {
			t.Errorf("nothing is obeyed yet: %v", got)
		}
		p.set(func() {
			p.state = connections.State{Revision: 7, Method: connections.MethodDrain, Open: 2, Cut: 5, Error: "slow"}
			p.acked.CRLRevision, p.acked.CRLError = 107, "odd"
		})
		got := obedienceOf(f)
		if got.GetRevision() != 7 || got.GetCrlRevision() != 107 || got.GetMethod() != ensignv1.CutMethod_CUT_METHOD_DRAIN ||
			got.GetOpen() != 2 || got.GetCut() != 5 || got.GetError() != "slow; odd" {
			t.Errorf("%v", got)
		}
		if kept, err := f.file.load(); err != nil || kept.GetRevision() != 7 {
			t.Errorf("kept %v, %v", kept, err)
		}
		p.set(func() { p.acked.CRLError = "" })
		f.take(someCutOff(7)) // as each stream begins
		same := someCutOff(8)
		same.CrlRevision = 107
		f.take(same)
		synctest.Wait()
		if len(p.orders) != 2 || len(p.lists) != 1 {
			t.Errorf("%d orders and %d sets of CRLs were given", len(p.orders), len(p.lists))
		}
		o := p.orders[0]
		if len(o.Certificates) != 1 || o.Certificates[0] != someCutOff(7).Certificates[0].Fingerprint || len(o.Issuers) != 1 || len(o.Identities) != 1 ||
			len(o.SilentPorts) != 1 || o.SilentPorts[0] != 3306 {
			t.Errorf("%+v", o)
		}
	})
}

// The agent is killed at any moment and starts again while the control plane is
// away: it obeys what it last called obeyed, before anything else runs.
func TestARestartedAgentObeysWhatWasKept(t *testing.T) {
	dir := t.TempDir()
	follow(t, dir, newParts(), func(f *follower, _ *logBuffer) { f.take(someCutOff(7)); synctest.Wait() })
	p := newParts()
	followerIn(t, dir, p, io.Discard)
	if len(p.orders) != 1 || p.orders[0].Revision != 7 || len(p.lists) != 1 || p.lists[0] != 107 {
		t.Errorf("orders %v, lists %v", p.orders, p.lists)
	}
}

func TestASpoiltFileIsLoggedAndReplaced(t *testing.T) {
	dir, p := t.TempDir(), newParts()
	write(t, filepath.Join(dir, "cutoff"), "rubbish")
	follow(t, dir, p, func(f *follower, logs *logBuffer) {
		if len(p.orders) != 0 || !strings.Contains(logs.String(), "level=ERROR") || !strings.Contains(logs.String(), "not whole") {
			t.Errorf("orders %v; log %s", p.orders, logs.String())
		}
		f.take(someCutOff(3))
		synctest.Wait()
		if kept, err := f.file.load(); err != nil || kept.GetRevision() != 3 {
			t.Errorf("%v, %v", kept, err)
		}
	})
}

// What cannot be kept is obeyed and told all the same, with the reason.
func TestAFullDiskDoesNotKeepFromObeying(t *testing.T) {
	dir, p := t.TempDir(), newParts()
	if err := os.MkdirAll(filepath.Join(dir, "cutoff.new", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.state.Revision = 7
	follow(t, dir, p, func(f *follower, _ *logBuffer) {
		f.take(someCutOff(7))
		if got := obedienceOf(f); got.GetRevision() != 7 || !strings.Contains(got.GetError(), "not kept") || len(p.orders) != 1 {
			t.Errorf("%v", got)
		}
	})
}

// A control plane that counts from a lower number is obeyed, loudly, and what was
// reached before does not pass for it.
func TestALowerRevisionIsObeyedAndLogged(t *testing.T) {
	p := newParts()
	p.state.Revision, p.acked.CRLRevision = 9, 109
	follow(t, t.TempDir(), p, func(f *follower, logs *logBuffer) {
		f.take(someCutOff(9))
		synctest.Wait()
		f.take(someCutOff(4))
		if got := obedienceOf(f); got.GetRevision() != 0 || got.GetCrlRevision() != 0 {
			t.Errorf("%v: 4 is not reached yet", got)
		}
		p.set(func() { p.state.Revision, p.acked.CRLRevision = 4, 104 })
		if got := obedienceOf(f); got.GetRevision() != 4 || got.GetCrlRevision() != 104 {
			t.Errorf("%v", got)
		}
		if !strings.Contains(logs.String(), "level=WARN") || !strings.Contains(logs.String(), "rolled back") {
			t.Errorf("log %s", logs.String())
		}
	})
}

// CRLs that had to be left out are not obeyed any more, whatever was said before.
func TestDroppedCRLsAreUnlearned(t *testing.T) {
	p := newParts()
	p.acked.CRLRevision = 107
	follow(t, t.TempDir(), p, func(f *follower, _ *logBuffer) {
		f.take(someCutOff(7))
		if got := obedienceOf(f); got.GetCrlRevision() != 107 {
			t.Errorf("%v", got)
		}
		p.set(func() { p.acked.CRLRevision, p.acked.CRLError = 0, "ended" })
		if got := obedienceOf(f); got.GetCrlRevision() != 0 || got.GetError() != "ended" {
			t.Errorf("%v", got)
		}
		// Said again, as each stream begins, they get another try: a clock may have been wrong.
		f.take(someCutOff(7))
		p.set(func() { p.acked.CRLRevision, p.acked.CRLError = 107, "" })
		f.take(someCutOff(7))
		if got := obedienceOf(f); len(p.lists) != 2 || got.GetCrlRevision() != 107 || got.GetError() != "" {
			t.Errorf("given %v, %v", p.lists, got)
		}
	})
}

// A revision goes back only with what the control plane wants, and never says more
// than was reached.
func TestRevisionsOnlyGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.Uint64Range(0, 9)
		before, now, wanted := small.Draw(t, "before"), small.Draw(t, "now"), small.Draw(t, "wanted")
		durable := rapid.Bool().Draw(t, "durable")
		got := reached(before, now, wanted, durable)
		back := before <= wanted && got < before
		unproven := got > 0 && got != before && (got != now || !durable)
		if got > wanted || back || unproven {
			t.Fatalf("reached(%d, %d, %d, %v) = %d", before, now, wanted, durable, got)
		}
	})
}

// Obedience is told within a moment, not with the next report.
func TestObedienceIsReportedAtOnce(t *testing.T) {
	control := newControlPlane(t)
	startAgent(t, control.config(t))
	next(t, "first report", control.reports, func(*ensignv1.Report) bool { return true })
	for revision := range uint64(3) {
		control.cutOffs <- &ensignv1.CutOff{Revision: revision + 1}
		asked := time.Now()
		next(t, "report that it is obeyed", control.reports, func(r *ensignv1.Report) bool { return r.GetObedience().GetRevision() == revision+1 })
		t.Logf("told after %s", time.Since(asked))
	}
}
