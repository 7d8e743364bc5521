package rotation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ensign-mesh/ensign/ca"
)

// event is one thing that happens; which of the numbers count depends on what it is.
type event struct {
	what      string
	pod, in   int
	via       string
	policy    Policy
	after     bool
	afterThat time.Duration
}

func anyEvent(r *rapid.T) event {
	return event{
		what: rapid.SampledFrom([]string{"begin", "begin", "kill", "stop", "pause", "resume", "rollback", "stuck", "away", "gone", "silent", "late", "well", "born"}).Draw(r, "what"),
		pod:  rapid.IntRange(0, 5).Draw(r, "pod"), in: rapid.IntRange(0, 4).Draw(r, "in"),
		via:    rapid.SampledFrom([]string{"", Vault, Builtin}).Draw(r, "via"),
		policy: rapid.SampledFrom([]Policy{Wait, SkipOffline, Abort}).Draw(r, "policy"), after: rapid.Bool().Draw(r, "after"),
		afterThat: time.Duration(rapid.SampledFrom([]int{0, 1, 300, 1000, 5000, 90_000, 1_000_000}).Draw(r, "ms")) * time.Millisecond,
	}
}

// recorder is a test whose errors are kept for somebody else.
type recorder struct {
	testing.TB
	errors *[]string
}

func (r recorder) Errorf(format string, args ...any) {
	*r.errors = append(*r.errors, fmt.Sprintf(format, args...))
}

// TestWhateverHappens throws pods that hang, go, come back and are born, reports that
// come late, kills, pauses and rollbacks at rotations under every policy. No gate passes early (the fleet's check
// looks at what is true), and when everybody is well again, every rotation ends with
// everybody on one root.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		pods, events := rapid.IntRange(0, 5).Draw(r, "pods"), rapid.SliceOfN(rapid.Custom(anyEvent), 1, 12).Draw(r, "events")
		var wrong []string
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(recorder{t, &wrong})
			w.history(t, pods, events)
		})
		if len(wrong) > 0 {
			r.Fatalf("%s", strings.Join(wrong, "\n"))
		}
	})
}

// history is what happens, and then all is well again.
func (w *world) history(t *testing.T, pods int, events []event) {
	p, f := w.start(nil, names(pods)...)
	for _, e := range events {
		p = w.happen(e, p, f)
		time.Sleep(e.afterThat)
		p = w.revive(p, f)
	}
	p = w.restart(p, f)
	for n := range f.pods {
		f.set(n, func(p *pod) { p.stuck, p.away = false, false; f.report(p) })
	}
	p.Resume(t.Context(), "uid:0", "")
	p.stop() // all hear of everything again
	p, _ = w.start(f)
	defer p.stop()
	if s, _, err := p.Status(t.Context()); err != nil || s.Rotation == nil {
		return
	}
	if !p.await(t.Context(), ended) {
		s, _, _ := p.Status(t.Context())
		w.t.Errorf("%+v\nafter %v", s.Rotation, w.verbs())
	}
	time.Sleep(time.Minute)
	trust := f.told()
	f.each(func(p *pod) {
		if last := p.SVIDs[len(p.SVIDs)-1]; !p.gone && (p.bundle != trust.Bundle.Hash() || last.Root != trust.Root) {
			w.t.Errorf("%s was left behind: %+v", p.Name, p)
		}
	})
}

// happen does one thing.
func (w *world) happen(e event, p *process, f *fleet) *process {
	ctx := w.t.Context()
	one := func(change func(*pod)) {
		if e.pod < len(f.pods) {
			f.set(e.pod, change)
		}
	}
	switch e.what {
	case "begin":
		p.Begin(ctx, "uid:0", Options{Via: e.via, Window: time.Minute, Laggards: Laggards{e.policy, 2 * time.Minute}})
	case "kill":
		w.mu.Lock()
		w.killAt, w.after = len(w.actions)+e.in, e.after
		w.mu.Unlock()
	case "stop":
		p = w.restart(p, f)
	case "pause":
		p.Pause(ctx, "uid:0", "")
	case "resume":
		p.Resume(ctx, "uid:0", "")
	case "rollback":
		p.Rollback(ctx, "uid:0", "")
	case "stuck":
		one(func(p *pod) { p.stuck = true })
	case "away":
		one(func(p *pod) { p.away = true })
	case "gone":
		one(func(p *pod) { p.gone = true })
	case "silent":
		one(func(p *pod) { p.Report, p.stuck = nil, true })
	case "late":
		one(func(p *pod) { p.late(e.in) })
	case "well":
		one(func(p *pod) { p.stuck, p.away = false, false; f.report(p) })
	case "born":
		f.born(p.Manager)
	}
	return p
}

// revive starts a process if the last one died.
func (w *world) revive(p *process, f *fleet) *process {
	if !w.crashed() {
		return p
	}
	return w.restart(p, f)
}

// restart ends a process and starts another one.
func (w *world) restart(p *process, f *fleet) *process {
	p.stop()
	w.mu.Lock()
	w.dead, w.killAt = false, -1
	w.mu.Unlock()
	p, _ = w.start(f)
	return p
}

// born adds a pod, with what a new one gets.
func (f *fleet) born(m *Manager) {
	bundle, _ := m.Bundle(f.w.t.Context())
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &pod{Instance: Instance{Name: fmt.Sprintf("shop/new-%d", len(f.pods))}, bundle: bundle.Hash()}
	p.serial = f.issue(p)
	f.report(p)
	f.pods = append(f.pods, p)
	go f.obey(f.w.t.Context(), len(f.pods)-1, f.told())
}

// TestEveryWalkEnds at a root that is trusted: whatever rotations there were, an agent
// that knows any root that ever signed finds its way by the links, if none was rolled
// back to nothing.
func TestEveryWalkEnds(t *testing.T) {
	h := newHistory(t)
	for n := range 5 {
		h.roots = append(h.roots, newRoot(h.w, fmt.Sprint("r", n), time.Hour))
	}
	rapid.Check(t, func(r *rapid.T) {
		g := *h
		g.add(adopt)
		for range rapid.IntRange(1, 20).Draw(r, "steps") {
			g.any(r)
		}
		s := g.state()
		trusted, _ := s.stand()
		next := map[string]string{}
		for _, l := range s.ways(time.Now()) {
			if _, twice := next[l.from.fingerprint]; twice {
				r.Fatalf("two ways from %s", l.from)
			}
			next[l.from.fingerprint] = l.to.fingerprint
		}
		alone := g.alone()
		for _, a := range s.roots {
			at := a.fingerprint
			for range s.roots {
				if to, ok := next[at]; ok && !slices.ContainsFunc(trusted, func(t *anchor) bool { return t.fingerprint == at }) {
					at = to
				}
			}
			lives := slices.ContainsFunc(trusted, func(t *anchor) bool { return t.fingerprint == at })
			if alone[a.fingerprint] && !lives {
				r.Fatalf("who knows %s is lost", a)
			}
		}
	})
}

// any adds one of the verbs that may follow.
func (h *history) any(r *rapid.T) {
	s := h.state()
	run := s.running()
	if run == nil {
		if last := s.run; last != nil && last.outcome == completed && rapid.Bool().Draw(r, "back") {
			h.add(begin, func(r *record) { r.Root = last.from.ref() })
			return
		}
		h.add(begin)
		return
	}
	turn := !run.reversed && rapid.IntRange(0, 3).Draw(r, "turn") == 0
	switch {
	case turn && run.step == Retiring:
		h.add(rollback, func(r *record) { r.Link = h.vouch(run.to, run.from) })
	case turn:
		h.add(rollback)
	case run.step == Preparing:
		to := run.to
		if to == nil {
			i := slices.IndexFunc(h.roots, func(f *fakeRoot) bool { return s.find(ca.Fingerprint(f.chain[0])) == nil })
			if i < 0 {
				h.add(rollback)
				return
			}
			to = &anchor{place: Builtin, name: fmt.Sprint(i), chain: h.roots[i].chain}
		}
		h.add(distribute, func(r *record) { r.Root, r.Link = to.ref(), h.vouch(run.from, to) })
	default:
		h.add(map[Step]verb{Distributing: activate, Activating: retire, Retiring: finish}[run.step])
	}
}

// vouch is a link.
func (h *history) vouch(from, to *anchor) []byte {
	m := &Manager{cfg: Config{TrustDomain: td}}
	template, err := m.linkTemplate(from, to, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	for _, r := range h.roots {
		if r.chain[0].Equal(from.root()) {
			return certify(template, from.root(), to.root().PublicKey, r.key).Raw
		}
	}
	h.t.Fatal("no key")
	return nil
}

// alone are the roots that were trusted alone at any time.
func (h *history) alone() map[string]bool {
	found := map[string]bool{}
	s := &state{}
	for _, e := range h.entries {
		if err := s.take(e); err != nil {
			h.t.Fatal(err)
		}
		if trusted, _ := s.stand(); len(trusted) == 1 {
			found[trusted[0].fingerprint] = true
		}
	}
	return found
}

// FuzzRecord: whatever stands in an entry, reading it does not fall over.
func FuzzRecord(f *testing.F) {
	f.Add("adopt", "root", `{"prior":0,"root":{"place":"builtin","name":"root","chain":["AAAA"]}}`)
	f.Add("begin", "rotation:x", `{"prior":1,"options":{"via":"vault","window":60000000000},"from":"00"}`)
	f.Add("rollback", "rotation:x", `{"prior":2,"link":"AAAA"}`)
	f.Fuzz(func(t *testing.T, v, object, text string) {
		s := &state{}
		e := ca.Recorded{Entry: ca.Entry{Kind: ca.KindRotation, Verb: v, Object: object, Detail: text}}
		if err := s.take(e); err == nil && len(s.roots) != 1 && s.revision != 0 {
			t.Errorf("taken: %+v", s)
		}
	})
}
