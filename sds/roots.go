package sds

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"sync"
)

// Kept is what of the roots outlives the process.
type Kept struct {
	// Operator is the BundleHash of the bundle file that they were followed from: they
	// stand in its place for as long as its roots are those.
	Operator string
	// Sequence of the [Trust] that they came by; 0 if they came with an SVID.
	Sequence uint64
	Roots    []*x509.Certificate
}

// RootsConfig is what Roots need.
type RootsConfig struct {
	// Operator reads the bundle file, anew each time. Required.
	Operator func() ([]*x509.Certificate, error)
	// Keep stores what Kept of the next process is to be; nil keeps nothing.
	Keep func(Kept) error
	// Kept is what an earlier process kept; nil if there was none.
	Kept    *Kept
	Metrics *Metrics
	Logger  *slog.Logger // required
}

// Roots is what this workload believes: the operator's bundle file to begin with,
// then whatever the control plane said that shares a root with what was believed
// before. What it said last stands in the place of the file, so that a root that
// was retired is not believed because it is in the file still.
type Roots struct {
	config RootsConfig
	// turn is held while the roots in force are replaced, which takes the disk.
	turn sync.Mutex
	// followed is the sequence of the Trust that was followed last; guarded by turn.
	followed uint64

	mu      sync.Mutex // guards all below
	current *rootSet   // nil before the first
	learned learned
	// keepError is why the roots in force are not stored; "" if they are.
	keepError string
	changed   chan struct{} // closed when current is replaced
}

// rootSet is the roots in force. It is immutable.
type rootSet struct {
	roots []*x509.Certificate
	// hash is their BundleHash, operator that of the bundle file then.
	hash, operator string
	// sequence is that of the Trust which pushed them; 0: they came with an SVID.
	sequence uint64
	// unkept: the next agent would not have them.
	unkept bool
}

// taken is the sequence of the Trust whose roots were taken over: believed by this agent
// and the next. 0 as long as the next one would believe others.
func (s *rootSet) taken() uint64 {
	if s.unkept {
		return 0
	}
	return s.sequence
}

// learned are roots that were shown to follow on those of Anchors.
type learned struct {
	by    Anchors
	roots []*x509.Certificate
}

// Anchors are the roots that are believed at one moment.
type Anchors struct {
	Roots []*x509.Certificate

	operator string
	set      *rootSet
}

// NewRoots makes Roots of what was kept, if the bundle file is still the one of then.
func NewRoots(config RootsConfig) *Roots {
	r := &Roots{config: config, changed: make(chan struct{})}
	kept := config.Kept
	if kept == nil {
		return r
	}
	if file, err := config.Operator(); err == nil && BundleHash(file) != kept.Operator {
		config.Logger.Warn("the bundle file is another than before: its roots stand again, and what the control plane said since is forgotten",
			"roots", len(file), "forgotten", BundleHash(kept.Roots))
		return r
	}
	r.current = &rootSet{roots: kept.Roots, hash: BundleHash(kept.Roots), operator: kept.Operator, sequence: kept.Sequence}
	r.followed = kept.Sequence
	config.Metrics.believes(r.current)
	return r
}

// Anchors are the roots to verify the control plane with now. An error is that of
// the bundle file, without which nothing is believed.
func (r *Roots) Anchors() (Anchors, error) {
	file, err := r.config.Operator()
	if err != nil {
		return Anchors{}, err
	}
	anchors := Anchors{Roots: file, operator: BundleHash(file)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if anchors.set = r.current; r.current != nil && r.current.operator == anchors.operator {
		anchors.Roots = r.current.roots
	}
	if r.learned.by.operator == anchors.operator && r.learned.by.set == anchors.set {
		anchors.Roots = slices.Concat(anchors.Roots, r.learned.roots)
	}
	return anchors, nil
}

// Learn adds a root that was shown to follow on the anchors, until the roots in
// force, or the bundle file, are others. Envoy is not told of it.
func (r *Roots) Learn(by Anchors, root *x509.Certificate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if by.set != r.current || slices.ContainsFunc(by.Roots, root.Equal) {
		return
	}
	if r.learned.by.operator != by.operator || r.learned.by.set != by.set {
		r.learned = learned{by: by}
	}
	if slices.ContainsFunc(r.learned.roots, root.Equal) || len(r.learned.roots) == maxAnswerCerts {
		return
	}
	r.learned.roots = append(slices.Clip(r.learned.roots), root)
	r.config.Metrics.trust("learned")
	r.config.Logger.Warn("the control plane lives under a root that is new to this agent, and showed that it follows on one that is trusted",
		"root", root.Subject.String(), "sha256", fingerprint(root.Raw))
}

// watch is the roots in force, nil before the first, and a channel that is closed
// when others take their place.
func (r *Roots) watch() (*rootSet, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current, r.changed
}

// push puts pushed roots in force, unless they are, and are kept, or are ignored.
func (r *Roots) push(trust Trust, roots []*x509.Certificate) (ignored bool, err error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if trust.Sequence < r.followed {
		if !trust.First {
			return true, nil
		}
		r.config.Logger.Warn("the control plane counts its roots from a lower number than before: its ledger may have been rolled back",
			"sequence", trust.Sequence, "before", r.followed)
	}
	anchors, err := r.Anchors()
	if err != nil {
		return false, fmt.Errorf("reading trusted roots: %w", err)
	}
	set := &rootSet{roots: roots, hash: BundleHash(roots), operator: anchors.operator, sequence: trust.Sequence}
	if !overlap(roots, anchors.Roots) {
		return false, foreign(roots, anchors.Roots)
	}
	r.followed = trust.Sequence
	if now := anchors.set; now == nil || now.hash != set.hash || now.operator != set.operator || now.sequence != set.sequence || r.problem() != "" {
		r.replace(set)
	}
	return false, nil
}

// answered takes the roots that came with an SVID if those in force do not do: the
// ones that were pushed stay while the SVID leads to them. asked is what was in
// force when it was asked for: what was pushed since is newer than the answer.
func (r *Roots) answered(asked *rootSet, svid *SVID) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	anchors, err := r.Anchors()
	if err != nil {
		return fmt.Errorf("reading trusted roots: %w", err)
	}
	if !overlap(svid.Roots, anchors.Roots) {
		return foreign(svid.Roots, anchors.Roots)
	}
	now := anchors.set
	if now != nil && now.operator == anchors.operator && now.sequence > 0 {
		if svid.under(now.roots) {
			return nil
		}
		if now != asked {
			return fmt.Errorf("%w: it leads to none of the roots that came while it was asked for", ErrAnswer)
		}
	}
	set := &rootSet{roots: svid.Roots, hash: svid.Bundle(), operator: anchors.operator}
	if now != nil && now.hash == set.hash {
		set.sequence = now.sequence // the bundle file is another; no Trust comes for that
	}
	if now == nil || now.hash != set.hash || now.operator != set.operator || now.sequence > 0 {
		r.replace(set)
	}
	return nil
}

// replace stores roots and puts them in force, in this order: what Envoy has taken
// an agent that is killed here still has. What cannot be stored is in force all the
// same, and said so: else a full disk would keep a retired root alive. But it is not
// taken over before it is stored.
func (r *Roots) replace(set *rootSet) {
	problem := r.keep(set)
	set.unkept = problem != ""
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learned = learned{}
	r.force(set, problem)
	r.config.Logger.Info("roots in force", "bundle", set.hash, "roots", len(set.roots), "sequence", set.sequence)
}

// force tells who waits of the roots in force. The caller has mu.
func (r *Roots) force(set *rootSet, problem string) {
	if problem != "" && problem != r.keepError {
		r.config.Logger.Error("the roots are not kept for the next agent: tried again", "error", problem)
	}
	r.current, r.keepError = set, problem
	close(r.changed)
	r.changed = make(chan struct{})
	r.config.Metrics.believes(set)
}

// keep stores roots; problem is why they could not be, "" if they were.
func (r *Roots) keep(set *rootSet) (problem string) {
	if r.config.Keep == nil {
		return ""
	}
	if err := r.config.Keep(Kept{Operator: set.operator, Sequence: set.sequence, Roots: set.roots}); err != nil {
		return "the roots are in force, but not kept for the next agent, so that they do not count yet: " + err.Error() + ": make room there; it is tried again"
	}
	return ""
}

// keepAgain tries to store the roots in force if they are not.
func (r *Roots) keepAgain() {
	r.turn.Lock()
	defer r.turn.Unlock()
	set, _ := r.watch()
	if set == nil || !set.unkept {
		return
	}
	problem := r.keep(set)
	if problem == r.problem() {
		return
	}
	again := *set
	again.unkept = problem != ""
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.learned.by.set == set {
		r.learned.by.set = &again
	}
	r.force(&again, problem)
}

// problem is why the roots in force are not stored; "" if they are.
func (r *Roots) problem() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keepError
}

func foreign(roots, trusted []*x509.Certificate) error {
	return fmt.Errorf("%w: %s, and trusted is %s; if the mesh's root was replaced, give the agent the new bundle file",
		ErrForeignRoots, names(roots), names(trusted))
}

// names of a few roots, for people.
func names(roots []*x509.Certificate) string {
	text := ""
	for i, root := range roots[:min(len(roots), 4)] {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%.120q (SHA-256 %.16s…)", root.Subject.String(), fingerprint(root.Raw))
	}
	return text
}

// under says whether the chain leads to one of the roots, as of when it came.
func (s *SVID) under(roots []*x509.Certificate) bool {
	return verifyChain(s.Chain, roots, s.Received) == nil
}
