package rotation

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/catest"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/ledger"
)

// template is what a CA asks an issuer for.
func template() *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Ensign issuer x"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign}
}

func TestWhatCannotBeOpened(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*world, *Config)
		says string
	}{
		"no first root": {func(w *world, c *Config) {
			c.First = func(context.Context) (string, Root, error) { return "", nil, errors.New("sealed") }
		}, "sealed"},
		"a first root that is not recorded": {func(w *world, c *Config) {
			c.First = func(ctx context.Context) (string, Root, error) {
				return "root", newRoot(w, "x", time.Hour), nil
			}
		}, "the ledger does not hold the first root"},
		"a ledger that does not read":       {func(w *world, c *Config) { w.refuse = func(a string) error { return errors.New("damaged") } }, "damaged"},
		"a ledger that takes nothing":       {func(w *world, c *Config) { w.refuse = refuse("append rotation adopt") }, "refused"},
		"no data folder":                    {func(w *world, c *Config) { c.Dir = filepath.Join(w.dir, "missing") }, "missing"},
		"nothing":                           {func(w *world, c *Config) { *c = Config{} }, "needs a trust domain"},
		"a first place that nobody knows":   {func(w *world, c *Config) { c.FirstPlace = "moon" }, "not among the places"},
		"a place of the root that is gone":  {reopened(func(w *world, c *Config) { delete(c.Places, Vault); c.FirstPlace = Builtin }), "start it with the flags of that place"},
		"a key that is gone":                {reopened(func(w *world, c *Config) { w.roots = map[string]*fakeRoot{} }), "has no key"},
		"a ledger that was changed by hand": {reopened(func(w *world, c *Config) { w.entries[len(w.entries)-1].Verb = "finish" }), "does not follow"},
	} {
		w := newWorld(t)
		config := w.config()
		c.edit(w, &config)
		if _, err := Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func refuse(action string) func(string) error {
	return func(a string) error {
		if a == action {
			return errors.New("refused")
		}
		return nil
	}
}

// reopened is a world whose root was adopted from vault.
func reopened(then func(*world, *Config)) func(*world, *Config) {
	return func(w *world, c *Config) {
		first := *c
		first.FirstPlace = Vault
		first.First = func(ctx context.Context) (string, Root, error) {
			root, err := (&fakePlace{w, Vault}).Make(ctx, "root")
			cert := root.Chain()[0]
			_, appended := w.Append(ctx, ca.CertificateEntry(ca.KindRoot, cert, cert, time.Now()))
			return "root", root, errors.Join(err, appended)
		}
		if _, err := Open(w.t.Context(), first); err != nil {
			w.t.Fatal(err)
		}
		then(w, c)
	}
}

func TestWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, _ := w.start(nil, names(2)...)
		defer p.stop()
		for name, o := range map[string]Options{
			"imported":                 {Via: Imported},
			"an unknown place":         {Via: "moon"},
			"a short window":           {Window: time.Millisecond},
			"a negative window":        {Window: -time.Hour},
			"a long window":            {Window: 25 * time.Hour},
			"an unknown policy":        {Laggards: Laggards{Policy: "pray"}},
			"skip-offline at once":     {Laggards: Laggards{Policy: SkipOffline}},
			"skip-offline negative":    {Laggards: Laggards{SkipOffline, -time.Hour}},
			"abort, and compromised":   {Compromised: true, Laggards: Laggards{Policy: Abort}},
			"a reason of two lines":    {Reason: "a\nb"},
			"a reason like a novel":    {Reason: strings.Repeat("x", maxText+1)},
			"a reason that is no text": {Reason: "\xff"},
		} {
			if err := p.Begin(t.Context(), "uid:0", o); !errors.Is(err, ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
			if plan, err := p.Plan(t.Context(), o); o.Reason == "" && (err != nil || !errors.Is(plan.Refusal, ErrRefused)) {
				t.Errorf("%s: planned %v, %v", name, plan.Refusal, err)
			}
		}
		if err := p.Begin(t.Context(), "", Options{}); !errors.Is(err, ErrRefused) {
			t.Errorf("nobody: %v", err)
		}
		for name, err := range map[string]error{
			"pause": p.Pause(t.Context(), "uid:0", ""), "resume": p.Resume(t.Context(), "uid:0", ""), "rollback": p.Rollback(t.Context(), "uid:0", ""),
		} {
			if !errors.Is(err, ErrNone) {
				t.Errorf("%s of nothing: %v", name, err)
			}
		}
		if len(w.verbs()) != 1 {
			t.Errorf("the ledger has %v", w.verbs())
		}
	})
}

func TestThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p, f := w.start(nil, names(4)...)
		defer p.stop()
		synctest.Wait()
		f.set(1, func(p *pod) { p.away = true })
		f.set(2, func(p *pod) { p.Report = nil })
		w.setSick(Vault, errors.New("no token"))
		plan, err := p.Plan(t.Context(), Options{Via: Vault, Compromised: true})
		if err != nil || plan.Refusal != nil {
			t.Fatal(err, plan.Refusal)
		}
		if plan.Instances != 4 || plan.Connected != 2 || len(plan.Laggards) != 2 || plan.Place != Vault || !plan.From.Signing || plan.From.LiveSVIDs != 4 || len(plan.Steps) != 5 {
			t.Errorf("%+v", plan)
		}
		text := strings.Join(append(plan.Warnings, plan.Steps...), "\n")
		for _, part := range []string{"no token", "of 1 instances nothing reports", "no way back", "is refused by everybody", "within 1m0s", "revoked", "passed over by name"} {
			if !strings.Contains(text, part) {
				t.Errorf("nothing about %q in\n%s", part, text)
			}
		}
		if len(w.verbs()) != 1 {
			t.Errorf("a plan wrote %v", w.verbs())
		}
		if err := p.Begin(t.Context(), "uid:0", Options{}); err != nil {
			t.Fatal(err)
		}
		if plan, err := p.Plan(t.Context(), Options{}); err != nil || !errors.Is(plan.Refusal, ErrBusy) {
			t.Errorf("%v %v", plan.Refusal, err)
		}
	})
}

// TestAnIssuerOfAnotherRoot is not taken, whoever returned it.
func TestAnIssuerOfAnotherRoot(t *testing.T) {
	w := newWorld(t)
	m, err := Open(t.Context(), w.config())
	if err != nil {
		t.Fatal(err)
	}
	key := catest.NewKey(t)
	request := ca.IssuerRequest{Template: template(), PublicKey: key.Public()}
	chain, err := m.CertifyIssuer(t.Context(), request)
	if err != nil || len(chain) != 1 {
		t.Fatal(err)
	}
	entry := ca.CertificateEntry(ca.KindIssuer, chain[0], m.Signing(), time.Now())
	if got := m.RootOf(entry.IssuerSubject, entry.IssuerSerial); got != ca.Fingerprint(m.Signing()) {
		t.Errorf("the issuer leads to %q", got)
	}
	if got := m.RootOf(entry.IssuerSubject, "ff"); got != "" {
		t.Errorf("an unknown parent leads to %q", got)
	}
	if place, name := m.Place(); place != Builtin || name != "root" {
		t.Errorf("%s %s", place, name)
	}
	*w.roots["builtin/root"] = *newRoot(w, "other", time.Hour)
	if _, err := m.CertifyIssuer(t.Context(), request); err == nil || !strings.Contains(err.Error(), "does not lead to root") {
		t.Errorf("another root's issuer: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		registry := prometheus.NewRegistry()
		config := w.config()
		config.Registerer = registry
		m, err := Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		f := newFleet(w, m, names(2)...)
		f.set(0, func(p *pod) { p.stuck = true })
		f.set(1, func(p *pod) { p.Report, p.stuck = nil, true })
		ctx, cancel := context.WithCancel(t.Context())
		go m.Run(ctx, settleFor{f, m})
		defer func() { cancel(); synctest.Wait() }()
		show := func(want string, names ...string) {
			t.Helper()
			synctest.Wait()
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
				t.Error(err)
			}
		}
		const steps = "# HELP ensign_rotation_step 1 for the step that the rotation of the root is at; all 0 while none runs.\n# TYPE ensign_rotation_step gauge\n" +
			`ensign_rotation_step{step="activating"} 0` + "\n" + `ensign_rotation_step{step="distributing"} %` + "\n" + `ensign_rotation_step{step="preparing"} 0` + "\n" + `ensign_rotation_step{step="retiring"} 0` + "\n"
		show(strings.ReplaceAll(steps, "%", "0"), "ensign_rotation_step")
		if err := m.Begin(t.Context(), "uid:0", Options{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		show(strings.ReplaceAll(steps, "%", "1"), "ensign_rotation_step")
		if n, err := testutil.GatherAndCount(registry, "ensign_root_expiry_timestamp_seconds"); n != 2 || err != nil {
			t.Errorf("%d roots: %v", n, err)
		}
		for state, want := range map[string]float64{"laggard": 1, "unverifiable": 1, "ready": 0, "skipped": 0, "gone": 0} {
			if got := testutil.ToFloat64(m.metrics.instances.WithLabelValues(state)); got != want {
				t.Errorf("%s: %v, want %v", state, got, want)
			}
		}
		if err := m.Rollback(t.Context(), "uid:0", ""); err != nil {
			t.Fatal(err)
		}
		f.set(0, func(p *pod) { p.gone = true })
		f.set(1, func(p *pod) { p.gone = true })
		time.Sleep(10 * time.Second)
		show(strings.ReplaceAll(steps, "%", "0"), "ensign_rotation_step")
		if got := testutil.ToFloat64(m.metrics.ended.WithLabelValues(rolledBack)); got != 1 {
			t.Errorf("%v ended", got)
		}
	})
}

// TestOnTheRealLedger has another process carry on behind each step.
func TestOnTheRealLedger(t *testing.T) {
	w := newWorld(t)
	keys, err := keystore.Open(filepath.Join(w.dir, "keys"), keystore.NewKEK())
	if err != nil {
		t.Fatal(err)
	}
	config := w.config()
	var f *fleet
	for _, step := range []Step{Preparing, Distributing, Activating, Retiring, Done} {
		l, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(w.dir, "ledger.db"), Origin: "ensign/cluster.local/ledger", Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		config.Ledger = l
		config.First = func(ctx context.Context) (string, Root, error) {
			root, err := (&fakePlace{w, Builtin}).Make(ctx, "root")
			cert := root.Chain()[0]
			_, appended := l.Append(ctx, ca.CertificateEntry(ca.KindRoot, cert, cert, time.Now()))
			return "root", root, errors.Join(err, appended)
		}
		m, err := Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if f == nil {
			f = newFleet(w, m, names(3)...)
			if err := m.Begin(t.Context(), "uid:0", Options{Window: time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var both sync.WaitGroup
		both.Go(func() { m.Run(ctx, settleFor{f, m}) })
		both.Go(func() { f.follow(ctx, m) })
		if p := (&process{Manager: m}); !p.await(t.Context(), func(r *Rotation) bool { return r.Step == step || ended(r) }) {
			t.Errorf("%s is not reached", step)
		}
		cancel()
		both.Wait()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		trust, _ := m.Trust()
		if text, err := os.ReadFile(filepath.Join(w.dir, "bundle.pem")); err != nil || string(text) != trust.Bundle.PEM() {
			t.Errorf("%s: the file holds other roots: %v", step, err)
		}
		if step == Done && (len(trust.Bundle.Roots()) != 1 || trust.Root == ca.Fingerprint(w.roots["builtin/root"].chain[0])) {
			t.Errorf("it is not done: %+v", trust)
		}
	}
}
