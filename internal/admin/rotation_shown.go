package admin

import (
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/ca/rotation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// rotationOf is a rotation without its roots.
func rotationOf(r *rotation.Rotation) *ensignv1.Rotation {
	out := &ensignv1.Rotation{
		Id: r.ID, Step: string(r.Step), StepSince: stamp(r.Since), Window: durationpb.New(r.Options.Window),
		LaggardsPolicy: policyOf(r.Options.Laggards), Paused: r.Paused, Reversed: r.Reversed, Compromised: r.Options.Compromised,
		Problem: r.Problem, Gate: gateOf(r.Gate), RenewalsUntil: stamp(r.RenewalsUntil), Outcome: r.Outcome, Actor: r.Actor, Reason: r.Options.Reason,
	}
	for _, e := range r.Timeline {
		out.Timeline = append(out.Timeline, &ensignv1.RotationEvent{
			Time: timestamppb.New(e.Time), Index: e.Index, Verb: e.Verb, Actor: e.Actor, Detail: e.Detail,
		})
	}
	return out
}

func policyOf(l rotation.Laggards) *ensignv1.Laggards {
	out := &ensignv1.Laggards{Policy: ensignv1.Laggards_WAIT}
	switch l.Policy {
	case rotation.SkipOffline:
		out.Policy = ensignv1.Laggards_SKIP_OFFLINE
	case rotation.Abort:
		out.Policy = ensignv1.Laggards_ABORT
	}
	if l.After > 0 {
		out.After = durationpb.New(l.After)
	}
	return out
}

func gateOf(g rotation.Gate) *ensignv1.Gate {
	return &ensignv1.Gate{
		Name: g.Name, Instances: uint32(g.Instances), Ready: uint32(g.Ready), Skipped: uint32(g.Skipped), Gone: uint32(g.Gone),
		Unverifiable: uint32(g.Unverifiable), Laggards: laggardsOf(g.Laggards), Waiting: uint32(g.Instances - g.Ready - g.Skipped - g.Gone),
	}
}

// laggardsOf are the first by name.
func laggardsOf(list []rotation.Laggard) []*ensignv1.RotationLaggard {
	var out []*ensignv1.RotationLaggard
	for _, l := range list[:min(len(list), shownLaggards)] {
		out = append(out, &ensignv1.RotationLaggard{
			Name: l.Name, SpiffeId: l.SPIFFEID, Reason: l.Reason, Connected: l.Connected, Unverifiable: l.Unverifiable,
			LastSeen: stamp(l.LastSeen), Until: stamp(l.Until),
		})
	}
	return out
}
