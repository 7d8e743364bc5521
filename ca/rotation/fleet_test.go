package rotation

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// fleet is the mesh of a test: instances that do what agents do, and what is true of
// them, whatever they have reported. It survives processes.
type fleet struct {
	w  *world
	mu sync.Mutex
	// pods in order; issuer is the root of the issuer that signs.
	pods    []*pod
	issuer  string
	issued  uint64
	changed chan struct{}
	process *Manager // the one that runs
	settles int
	revoked []string
	// fail answers an error for Instances.
	fail error
}

// pod is one instance. Its Envoy's truth: bundle and serial in force there, and the
// sequence of the Trust whose bundle that is.
type pod struct {
	Instance
	bundle, serial string
	trust          uint64
	heard          *Trust
	// said are the reports so far.
	said []Report
	// delay is how long it takes to follow; stuck: it never does.
	delay time.Duration
	stuck bool
	away  bool
	gone  bool
}

func newFleet(w *world, m *Manager, names ...string) *fleet {
	f := &fleet{w: w, changed: make(chan struct{}), issuer: ca.Fingerprint(m.Signing())}
	trust, _ := m.Trust()
	for n, name := range names {
		p := &pod{Instance: Instance{Name: name, SPIFFEID: "spiffe://cluster.local/ns/shop/sa/" + name, Connected: true},
			bundle: trust.Bundle.Hash(), trust: trust.Sequence, delay: time.Duration(n%7) * 100 * time.Millisecond}
		f.issue(p)
		p.serial = p.SVIDs[0].Serial
		f.report(p)
		f.pods = append(f.pods, p)
	}
	return f
}

// issue gives a pod an SVID.
func (f *fleet) issue(p *pod) string {
	f.issued++
	index, now := f.issued, time.Now()
	serial := fmt.Sprintf("%x", 0x1000+index)
	p.SVIDs = append(slices.Clone(p.SVIDs), SVID{Serial: serial, Index: index, Root: f.issuer, IssuedAt: now, NotAfter: now.Add(24 * time.Hour)})
	return serial
}

func (f *fleet) report(p *pod) {
	p.Report = &Report{AckedSerial: p.serial, AckedBundle: p.bundle, TrustSequence: p.trust, ReceivedAt: time.Now()}
	p.said = append(p.said, *p.Report)
	f.poke()
}

// late has a report that a pod composed earlier be stored only now.
func (p *pod) late(n int) {
	if len(p.said) > 0 {
		r := p.said[n%len(p.said)]
		r.ReceivedAt = time.Now()
		p.Report = &r
	}
}

func (f *fleet) poke() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// set changes a pod.
func (f *fleet) set(n int, change func(*pod)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.pods[n])
	f.poke()
}

func (f *fleet) Instances(context.Context) (all []Instance, changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pods {
		i := p.Instance
		i.SVIDs = slices.DeleteFunc(slices.Clone(i.SVIDs), func(s SVID) bool { return time.Now().After(s.NotAfter) })
		if len(i.SVIDs) == 0 {
			continue
		}
		i.Connected, i.Gone = !p.away && p.Report != nil, p.gone
		all = append(all, i)
	}
	return all, f.changed, f.fail
}

// settleFor is the Mesh of one process.
type settleFor struct {
	*fleet
	m *Manager
}

func (s settleFor) Settle(context.Context) error {
	time.Sleep(s.w.slow)
	return s.w.act("settle", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.issuer = ca.Fingerprint(s.m.Signing())
		s.settles++
		return nil
	})
}

func (s settleFor) RevokeIssuers(_ context.Context, root, _ string) error {
	return s.w.act("revoke", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.revoked = append(s.revoked, root)
		return nil
	})
}

// follow has all pods do what they are told, until ctx ends.
func (f *fleet) follow(ctx context.Context, m *Manager) {
	for ctx.Err() == nil {
		trust, changed := m.Trust()
		f.mu.Lock()
		all := len(f.pods)
		f.mu.Unlock()
		for n := range all {
			go f.obey(ctx, n, trust)
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// obey is one agent that hears one word.
func (f *fleet) obey(ctx context.Context, n int, t *Trust) {
	wait := func(d time.Duration) bool {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(d):
			return true
		}
	}
	f.mu.Lock()
	p := f.pods[n]
	delay, older := p.delay, p.heard != nil && p.heard.Sequence > t.Sequence
	if !older {
		p.heard = t
	}
	f.mu.Unlock()
	if older || !wait(delay) || !f.doing(p, t, func() { p.bundle, p.trust = t.Bundle.Hash(), t.Sequence }) {
		return
	}
	if !wait(delay) || !f.doing(p, t, func() { f.report(p) }) {
		return
	}
	renewed := false
	if !wait(min(delay, t.RenewWithin)) || !f.doing(p, t, func() {
		if last := p.SVIDs[len(p.SVIDs)-1]; last.Root != t.Root {
			p.serial = f.issue(p)
			renewed = true
		}
	}) {
		return
	}
	if renewed && wait(delay) {
		f.doing(p, t, func() { f.report(p) })
	}
}

// each looks at every pod.
func (f *fleet) each(look func(*pod)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.pods {
		look(p)
	}
}

// doing does something with a pod that is able to, and has not heard anything newer.
func (f *fleet) doing(p *pod, t *Trust, do func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.stuck || p.away || p.gone || p.heard != t {
		return false
	}
	do()
	return true
}

// check is called while a step is written: what its gate promises is true of every Envoy,
// whatever was reported.
func (f *fleet) check(v verb, passed []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	trust, _ := f.process.Trust()
	for _, p := range f.pods {
		if p.gone || slices.Contains(passed, p.Name) || !p.until().After(time.Now()) {
			continue
		}
		root := ""
		for _, s := range p.SVIDs {
			if s.Serial == p.serial {
				root = s.Root
			}
		}
		switch {
		case (v == activate || v == finish) && p.bundle != trust.Bundle.Hash():
			f.w.t.Errorf("%s while %s trusts another bundle", v, p.Name)
		case v == retire && root != trust.Root:
			f.w.t.Errorf("%s while %s lives on another root", v, p.Name)
		}
	}
}

// process is one run of ensignd.
type process struct {
	*Manager
	stop func()
}

// start opens a manager and runs it with a fleet that follows it. f may be nil: then the
// fleet of names is made.
func (w *world) start(f *fleet, names ...string) (*process, *fleet) {
	w.t.Helper()
	p, f, err := w.tryStart(f, names...)
	if err != nil {
		w.t.Fatal(err)
	}
	return p, f
}

func (w *world) tryStart(f *fleet, names ...string) (*process, *fleet, error) {
	m, err := Open(w.t.Context(), w.config())
	if err != nil {
		return nil, f, err
	}
	if f == nil {
		f = newFleet(w, m, names...)
	}
	f.mu.Lock()
	f.process = m
	f.mu.Unlock()
	w.onStep = f.check
	ctx, cancel := context.WithCancel(w.t.Context())
	var all sync.WaitGroup
	all.Go(func() { m.Run(ctx, settleFor{f, m}) })
	all.Go(func() { f.follow(ctx, m) })
	return &process{m, func() { cancel(); all.Wait() }}, f, nil
}

// await runs until a condition of the rotation holds, and answers false after an hour.
func (p *process) await(ctx context.Context, ok func(*Rotation) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	for {
		s, news, err := p.Status(ctx)
		if err == nil && s.Rotation != nil && ok(s.Rotation) {
			return true
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Second):
		}
	}
}

func ended(r *Rotation) bool { return r.Outcome != running }

func at(step Step) func(*Rotation) bool { return func(r *Rotation) bool { return r.Step == step } }
