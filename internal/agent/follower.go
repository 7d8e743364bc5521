package agent

import (
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/connections"
	"github.com/ensign-mesh/ensign/sds"
)

// cutter ends live connections of peers that are cut off.
type cutter interface {
	Apply(connections.Orders)
	State() (connections.State, <-chan struct{})
}

// lister has Envoy check its peers against CRLs.
type lister interface {
	SetCRLs(revision uint64, lists [][]byte)
	Acknowledged() (sds.Acknowledged, <-chan struct{})
}

// follower does what the control plane's CutOff says, keeps it for the next agent,
// and knows how far it is obeyed.
type follower struct {
	live    cutter
	secrets lister
	file    cutOffFile
	metrics *metrics
	logger  *slog.Logger
	// taken holds at most one word that newest is another.
	taken chan struct{}

	mu sync.Mutex // guards all below
	// newest is what is obeyed, kept what the file holds, nil before the first;
	// keepError is why it does not hold the newest, although it was tried.
	newest, kept *ensignv1.CutOff
	keepError    string
	obedience    *ensignv1.Obedience
	changed      chan struct{} // closed when obedience is replaced
}

func newFollower(live cutter, secrets lister, file cutOffFile, metrics *metrics, logger *slog.Logger) *follower {
	return &follower{
		live: live, secrets: secrets, file: file, metrics: metrics, logger: logger,
		taken: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// resume obeys what an earlier agent kept. It comes before run and take.
func (f *follower) resume() {
	kept, err := f.file.load()
	if err != nil {
		f.logger.Error("who was cut off before this agent started is unknown until the control plane says it", "error", err)
		return
	}
	if kept != nil {
		f.kept = kept
		f.take(kept)
	}
}

// take obeys a CutOff; it does not wait for anything.
func (f *follower) take(cutOff *ensignv1.CutOff) {
	f.mu.Lock()
	before := f.newest
	same := before != nil && proto.Equal(before, cutOff)
	if !same {
		f.newest = cutOff
	}
	f.mu.Unlock()
	if same { // as every new stream begins
		f.list(before, cutOff)
		return
	}
	if before.GetRevision() > cutOff.GetRevision() {
		f.logger.Warn("the control plane counts revocations from a lower number than before: its ledger may have been rolled back, and who was cut off is let in again; ledger.checkpoint tells",
			"revision", cutOff.GetRevision(), "before", before.GetRevision())
	}
	f.logger.Info("cut off taken", "revision", cutOff.GetRevision(), "certificates", len(cutOff.GetCertificates()),
		"identities", len(cutOff.GetIdentities()), "issuers", len(cutOff.GetIssuers()), "crls", len(cutOff.GetCrls()), "crl_revision", cutOff.GetCrlRevision())
	f.live.Apply(orders(cutOff))
	f.list(before, cutOff)
	f.metrics.wants(cutOff)
	select {
	case f.taken <- struct{}{}:
	default:
	}
}

// list gives Envoy the CRLs if they are others than before, or were left out: the
// doubt may have been a clock's.
func (f *follower) list(before, cutOff *ensignv1.CutOff) {
	acknowledged, _ := f.secrets.Acknowledged()
	if before == nil || acknowledged.CRLError != "" || before.GetCrlRevision() != cutOff.GetCrlRevision() || !sameCRLs(before, cutOff) {
		f.secrets.SetCRLs(cutOff.GetCrlRevision(), cutOff.GetCrls())
	}
}

func sameCRLs(a, b *ensignv1.CutOff) bool {
	return proto.Equal(&ensignv1.CutOff{Crls: a.GetCrls()}, &ensignv1.CutOff{Crls: b.GetCrls()})
}

// run keeps what was taken and works out how far it is obeyed, until ctx ends.
func (f *follower) run(ctx context.Context) error {
	for {
		f.keep(ctx)
		state, cut := f.live.State()
		acknowledged, listed := f.secrets.Acknowledged()
		f.settle(state, acknowledged)
		select {
		case <-f.taken:
		case <-cut:
		case <-listed:
		case <-ctx.Done():
			return nil
		}
	}
}

// keep stores the newest if the file does not hold it.
func (f *follower) keep(ctx context.Context) {
	f.mu.Lock()
	newest, kept := f.newest, f.kept
	f.mu.Unlock()
	if newest == kept {
		return
	}
	// What fails is tried again with the next: it is obeyed all the same, until we
	// are started again without a control plane.
	problem := ""
	if err := f.file.store(newest); err != nil {
		problem = "who is cut off is not kept for the next agent: " + err.Error()
		f.logger.ErrorContext(ctx, "who is cut off is not kept for the next agent", "error", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept, f.keepError = newest, problem
}

// settle replaces the obedience if it changed.
func (f *follower) settle(state connections.State, acknowledged sds.Acknowledged) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.newest == nil {
		return
	}
	next := &ensignv1.Obedience{
		Revision:    reached(f.obedience.GetRevision(), state.Revision, f.newest.GetRevision(), f.kept == f.newest),
		CrlRevision: reached(f.obedience.GetCrlRevision(), acknowledged.CRLRevision, f.newest.GetCrlRevision(), f.kept == f.newest),
		Method:      cutMethods[state.Method], Open: uint32(state.Open), Cut: state.Cut,
	}
	if acknowledged.CRLRevision == 0 {
		// A set that is not in force any more is the one thing that is unlearned.
		next.CrlRevision = 0
	}
	var problems []string
	for _, problem := range []string{state.Error, acknowledged.CRLError, f.keepError} {
		if problem != "" {
			problems = append(problems, problem)
		}
	}
	next.Error = cutText(strings.Join(problems, "; "))
	if f.obedience != nil && proto.Equal(next, f.obedience) {
		return
	}
	f.obedience = next
	f.metrics.obeys(next)
	close(f.changed)
	f.changed = make(chan struct{})
}

// reached is the revision to report. It never goes back, unless the control plane
// itself wants a lower one; what is not durable yet, or was reached when the
// control plane counted higher, does not count.
func reached(before, now, wanted uint64, durable bool) uint64 {
	if before > wanted {
		before = 0
	}
	if !durable || now > wanted {
		return before
	}
	return max(before, now)
}

// revokes says whether an issuer is named as revoked by the newest CutOff.
func (f *follower) revokes(issuer *x509.Certificate) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.newest.GetIssuers(), func(cut *ensignv1.CutIssuer) bool {
		return cut.GetSerial() == issuer.SerialNumber.Text(16) && cut.GetSubject() == issuer.Subject.String()
	})
}

// watch is how far the newest CutOff is obeyed, nil before the first, and a channel
// that is closed when that changes.
func (f *follower) watch() (*ensignv1.Obedience, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.obedience, f.changed
}
