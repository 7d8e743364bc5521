package agents

import (
	"context"
	"errors"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/identity"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// What one agent may say. It reports on acknowledgements, once a minute, and a few
// times within a second while it cuts somebody off; sightings come once a second.
const (
	reportsPerSecond   = 10
	reportBurst        = 40
	sightingsPerSecond = 2
	sightingBurst      = 10
)

// intake takes what one agent says. It belongs to the goroutine that receives.
type intake struct {
	config    Config
	caller    identity.Caller
	live      *session
	reports   *rate.Limiter
	sightings *rate.Limiter
	// The pod that the stream speaks for, and the node ID that named it; none before
	// the first report.
	pod  Pod
	node string
	// complained: the log knows that sightings of this stream are left out, or of a fork.
	complained, forked bool
}

func newIntake(c Config, caller identity.Caller, live *session) *intake {
	return &intake{config: c, caller: caller, live: live,
		reports:   rate.NewLimiter(reportsPerSecond, reportBurst),
		sightings: rate.NewLimiter(sightingsPerSecond, sightingBurst),
	}
}

// leave takes the agent out of the registry.
func (i *intake) leave() { i.config.Registry.remove(i.pod.String(), i.live) }

// take handles one message; an error ends the stream.
func (i *intake) take(ctx context.Context, message *ensignv1.ConnectRequest) error {
	switch m := message.GetMessage().(type) {
	case *ensignv1.ConnectRequest_Answer:
		i.live.deliver(ctx, m.Answer)
		return nil
	case *ensignv1.ConnectRequest_Report:
		if err := i.reports.Wait(ctx); err != nil {
			return status.FromContextError(err).Err()
		}
		return i.report(ctx, m.Report)
	case *ensignv1.ConnectRequest_Sightings:
		return i.sighted(ctx, m.Sightings.GetSightings())
	}
	return status.Error(codes.InvalidArgument, "the message holds neither a report nor an answer nor sightings")
}

// report keeps one report, after it is clear that the caller may speak for the
// pod, and that it is the one that the stream is bound to, if it is yet.
func (i *intake) report(ctx context.Context, r *ensignv1.Report) error {
	pod, err := i.config.Nodes.Pod(ctx, i.caller, r.GetNodeId())
	if err != nil {
		i.config.Logger.WarnContext(ctx, "report refused", "spiffe_id", i.caller.Account.String(), "caller_pod", i.caller.Pod, "error", err)
		return refusal(err)
	}
	if i.pod != (Pod{}) && pod != i.pod {
		return status.Errorf(codes.PermissionDenied, "this stream reports for %s (UID %q); open another for %s (UID %q)", i.pod, i.pod.UID, pod, pod.UID)
	}
	if i.pod == (Pod{}) {
		i.pod, i.node = pod, r.GetNodeId()
		if err := i.begin(ctx); err != nil {
			return err
		}
	}
	if !i.config.Registry.claim(pod.String(), i.live) {
		return status.Errorf(codes.Aborted, "a later stream reports for %s: what this one says may be older", pod)
	}
	stored := reportOf(r, i.caller, pod)
	err = i.config.Reports.Put(ctx, stored)
	if errors.Is(err, report.ErrInvalid) {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if err != nil {
		i.config.Logger.ErrorContext(ctx, "report not stored", "pod", i.pod.String(), "error", err)
		return status.Error(codes.Unavailable, "the report could not be stored; send it again")
	}
	i.config.Registry.put(i.live, Agent{
		Name: pod.String(), PodUID: pod.UID, SPIFFEID: stored.SPIFFEID, Bound: stored.Bound, Obedience: stored.Obedience,
		AckedSerial: stored.AckedSerial, AckedAt: stored.AckedAt, RenewalError: stored.RenewalError,
	})
	i.watchFork(ctx, r.GetLedger().GetFork())
	return i.live.send(ctx, &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_Stored{
		Stored: &ensignv1.ReportStored{Sequence: r.GetSequence(), Ledger: i.proof(ctx, r.GetLedger().GetSize())},
	}})
}

// watchFork says aloud, once a stream, that an agent holds two signed checkpoints
// of which one is a lie.
func (i *intake) watchFork(ctx context.Context, fork string) {
	if fork == "" || i.forked {
		return
	}
	i.forked = true
	i.config.Logger.ErrorContext(ctx, "an agent saw the ledger fork", "pod", i.pod.String(), "fork", fork)
}

// sighted keeps whom the Envoy met. These are samples: what can not be kept is left
// out, since the stream also carries what the agent must hear.
func (i *intake) sighted(ctx context.Context, met []*ensignv1.Sighting) error {
	if i.pod == (Pod{}) {
		return status.Error(codes.InvalidArgument, "sightings came before the first report, which says of which pod they are")
	}
	if !i.sightings.Allow() {
		return nil
	}
	// It may have lost the right to speak for the pod since its last report.
	if pod, err := i.config.Nodes.Pod(ctx, i.caller, i.node); err != nil || pod != i.pod {
		return nil
	}
	if err := i.config.Reports.PutSightings(ctx, sightingsOf(met, i.pod)); err != nil && !i.complained {
		i.complained = true
		i.config.Logger.WarnContext(ctx, "sightings not stored", "pod", i.pod.String(), "error", err)
	}
	return nil
}
