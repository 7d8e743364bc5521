package rotation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// motley is a mesh with one of each kind, named by it.
func motley(w *world) (*process, *fleet) {
	p, f := w.start(nil, "shop/well", "shop/away", "shop/foreign", "shop/gone", "shop/clock", "shop/refuses", "shop/old-agent", "shop/fresh")
	synctest.Wait()
	time.Sleep(time.Second)
	f.set(1, func(p *pod) { p.away = true })
	f.set(2, func(p *pod) { p.Report = nil; p.stuck = true })
	f.set(3, func(p *pod) { p.gone, p.away = true, true })
	f.set(4, func(p *pod) { p.stuck = true; p.Report.Skew = -10 * time.Minute })
	f.set(5, func(p *pod) { p.stuck = true; p.Report.AckedBundle, p.Report.Problem = "earlier", "no disk" })
	f.set(6, func(p *pod) { p.stuck = true; p.Report.TrustSequence = 0 })
	return p, f
}

// named are the names of laggards of which something is said.
func named(all []Laggard, says string) (names []string) {
	for _, l := range all {
		if strings.Contains(l.Reason, says) {
			names = append(names, l.Name)
		}
	}
	return names
}

// TestAPlanComesTrue: whom it names keeps the first gate waiting, nobody else does, and
// the counts are those of the gate.
func TestAPlanComesTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := motley(newWorld(t))
		defer p.stop()
		plan, err := p.Plan(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s, _, _ := p.Status(t.Context())
		g := s.Rotation.Gate
		if said, so := named(plan.Laggards, ""), named(g.Laggards, ""); !slices.Equal(said, so) || len(so) != 5 || g.Name != "new-bundle" {
			t.Errorf("planned %v, and at the gate are %v", said, so)
		}
		for name, says := range map[string]string{"shop/away": "is not connected", "shop/foreign": "nothing reports", "shop/clock": "10m0s behind", "shop/refuses": "its agent says: no disk; its Envoy has not", "shop/old-agent": "older than ensignd"} {
			if got := named(plan.Laggards, says); !slices.Contains(got, name) {
				t.Errorf("of %s the plan does not say %q: %+v", name, says, plan.Laggards)
			}
		}
		text := strings.Join(plan.Warnings, "\n")
		if plan.Instances != g.Instances || !strings.Contains(text, fmt.Sprintf("of %d instances nothing reports", g.Unverifiable)) ||
			!strings.Contains(text, fmt.Sprintf("%d instances hold live SVIDs though their pods are gone", g.Gone)) || g.Gone != 1 {
			t.Errorf("%d instances; at the gate: %+v\n%s", plan.Instances, g, text)
		}
		for _, l := range plan.Laggards {
			i := slices.IndexFunc(g.Laggards, func(one Laggard) bool { return one.Name == l.Name })
			if one := g.Laggards[i]; one.Unverifiable != l.Unverifiable || one.Connected != l.Connected || !one.Until.Equal(l.Until) {
				t.Errorf("planned %+v, and it is %+v", l, one)
			}
		}
	})
}

// TestAPlanOfACompromisedRootComesTrue: those that it says are refused by everybody are
// those that live on the old root in the end, and no others.
func TestAPlanOfACompromisedRootComesTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := motley(w)
		defer p.stop()
		plan, err := p.Plan(t.Context(), Options{Compromised: true})
		if err != nil {
			t.Fatal(err)
		}
		broken := named(plan.Laggards, "needs the new bundle from a person")
		text := strings.Join(plan.Warnings, "\n")
		if want := "is refused by everybody; as things are, that is 2 instances: shop/away, shop/foreign"; !slices.Equal(broken, []string{"shop/away", "shop/foreign"}) || !strings.Contains(text, want) {
			t.Errorf("would break: %v\n%s", broken, text)
		}
		old := p.signingNow()
		if err := p.Begin(t.Context(), "uid:0", Options{Compromised: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if s, _, _ := p.Status(t.Context()); s.Rotation.Gate.Skipped != 2 || s.Rotation.Gate.Ready != 2 || len(s.Rotation.Gate.Laggards) != 5 {
			t.Errorf("those that are connected are waited for even now: %+v", s.Rotation.Gate)
		}
		trust, _ := p.Trust()
		for _, n := range []int{4, 5, 6} { // somebody mends them
			f.set(n, func(p *pod) { p.stuck = false })
			f.obey(t.Context(), n, trust)
		}
		if !p.await(t.Context(), ended) {
			t.Fatal(w.verbs())
		}
		var left []string
		f.each(func(p *pod) {
			if !p.gone && !slices.ContainsFunc(p.SVIDs, func(s SVID) bool { return s.Root != old }) {
				left = append(left, p.Name)
			}
		})
		if !slices.Equal(left, broken) {
			t.Errorf("planned %v, and %v are left behind", broken, left)
		}
	})
}

func (p *process) signingNow() string { return p.view.Load().anchor.fingerprint }

// TestWhatBecomesOfThePassedOver: who is vouched for comes back by itself, by the plan.
func TestWhatBecomesOfThePassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := motley(newWorld(t))
		defer p.stop()
		for says, o := range map[string]Options{
			"passed over after 5m0s without a sign of it; it comes back by itself":                    {Laggards: Laggards{SkipOffline, 5 * time.Minute}},
			"passed over after 5m0s without a sign of it; it needs the new bundle from a person then": {Laggards: Laggards{SkipOffline, 5 * time.Minute}, WithoutLink: true},
		} {
			plan, err := p.Plan(t.Context(), o)
			if got := named(plan.Laggards, says); err != nil || !slices.Equal(got, []string{"shop/away", "shop/foreign"}) {
				t.Errorf("%q of %v, %v", says, got, err)
			}
		}
		if plan, err := p.Plan(t.Context(), Options{}); err != nil || len(named(plan.Laggards, "passed over")) != 0 {
			t.Errorf("nobody is passed over by wait: %+v, %v", plan.Laggards, err)
		}
	})
}

// TestAPlanThatNobodyCanMake says why, and what to do.
func TestAPlanThatNobodyCanMake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(2)...)
		defer p.stop()
		synctest.Wait()
		f.fail = errors.New("database is locked")
		if _, err := p.Plan(t.Context(), Options{}); !errors.Is(err, f.fail) {
			t.Errorf("%v", err)
		}
	})
}
