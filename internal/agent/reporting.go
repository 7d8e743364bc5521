package agent

import (
	"context"
	"math/rand/v2"
	"time"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds"
)

const (
	reportEvery = time.Minute
	// Without ReportStored by then, the report is sent again.
	storedWithin = 10 * time.Second
	// The two secrets are acknowledged a moment apart: one report for both.
	settleFor = 100 * time.Millisecond
	// Somebody waits for word that a cut off is obeyed: such a report does not even
	// wait for Envoy's admin port, and says of Envoy what the last one did.
	settleObeyed = 10 * time.Millisecond
)

// reporting is the reports of one stream.
type reporting struct {
	*reporter
	link   *uplink
	stored <-chan uint64
	failed <-chan error
	done   <-chan struct{}

	// due: look at Envoy, then report. unstored: the last report was not stored in
	// time. urgent: report now.
	due, unstored, urgent *time.Timer
	looked                chan look
	looking               bool
	// Closed when there is something new since the last report.
	acknowledged, followed, troubled, obeyed, forked <-chan struct{}
	sooner                                           time.Duration
}

func (r *reporter) newReporting(link *uplink, stored <-chan uint64, failed <-chan error, done <-chan struct{}) *reporting {
	p := &reporting{
		reporter: r, link: link, stored: stored, failed: failed, done: done,
		due: time.NewTimer(0), unstored: time.NewTimer(0), urgent: time.NewTimer(0),
		looked: make(chan look, 1), sooner: time.Second,
	}
	p.unstored.Stop()
	p.urgent.Stop()
	p.followed = r.trustee.followed()
	_, p.acknowledged = r.secrets()
	_, p.troubled = r.problems()
	_, p.forked = r.memory.seen()
	var obedience *ensignv1.Obedience
	if obedience, p.obeyed = r.follower.watch(); obedience != nil {
		// The control plane may have missed it; the first look may take longer.
		p.urgent.Reset(settleFor)
	}
	return p
}

// run sends a report now, whenever the acknowledged state changes, when another Trust
// was followed, again while it is not stored, sooner while Envoy still shows another
// certificate than the one it acknowledged, and once a minute; at once when the
// obedience changes.
func (p *reporting) run(ctx context.Context) error {
	defer p.stop()
	for {
		select {
		case <-p.due.C:
			p.look(ctx)
		case <-p.unstored.C:
			p.look(ctx)
		case p.seen = <-p.looked:
			p.looking = false
			if err := p.send(true); err != nil {
				return err
			}
		case <-p.urgent.C:
			if err := p.send(false); err != nil {
				return err
			}
		case <-p.acknowledged:
			p.acknowledged = nil
			p.due.Reset(settleFor)
		case <-p.followed:
			p.followed = nil
			p.due.Reset(settleFor)
		case <-p.troubled:
			p.troubled = nil
			p.due.Reset(settleFor)
		case <-p.obeyed:
			p.obeyed = nil
			p.urgent.Reset(settleObeyed)
		case <-p.forked:
			p.forked = nil
			p.urgent.Reset(settleObeyed)
		case n := <-p.stored:
			if n >= p.sequence {
				p.unstored.Stop()
			}
		case err := <-p.failed:
			return err
		case <-p.done:
			return errMoving
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *reporting) stop() {
	for _, timer := range []*time.Timer{p.due, p.unstored, p.urgent} {
		timer.Stop()
	}
}

// look asks Envoy what it shows, beside the loop: it may be slow, or hang.
func (p *reporting) look(ctx context.Context) {
	if p.looking {
		return
	}
	p.looking = true
	if !p.envoy {
		p.looked <- look{}
		return
	}
	go func() {
		version, served := p.reporter.look(ctx)
		p.looked <- look{version, served}
	}()
}

// send reports; full is after a look at Envoy, which says when to look again.
func (p *reporting) send(full bool) error {
	var acknowledged sds.Acknowledged
	var problems sds.Problems
	var obedience *ensignv1.Obedience
	var ledger *ensignv1.LedgerSeen
	p.followed = p.trustee.followed()
	acknowledged, p.acknowledged = p.secrets()
	problems, p.troubled = p.problems()
	obedience, p.obeyed = p.follower.watch()
	ledger, p.forked = p.memory.seen()
	p.urgent.Stop()
	report := p.compose(acknowledged, problems, obedience, ledger)
	if p.link.send(&ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Report{Report: report}}) != nil {
		// The reason is what the stream's end says.
		return <-p.failed
	}
	p.metrics.reports.WithLabelValues("sent").Inc()
	p.unstored.Reset(storedWithin)
	if !full {
		return nil
	}
	next := time.Duration(float64(reportEvery) * (0.9 + 0.2*rand.Float64()))
	if p.envoy && !shows(report, acknowledged) {
		next, p.sooner = min(next, p.sooner), p.sooner*2
	} else {
		p.sooner = time.Second
	}
	p.due.Reset(next)
	return nil
}
