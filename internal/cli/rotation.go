package cli

import (
	"time"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// rotation is one rotation of the root; its keys are stable.
type rotation struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	// Step is preparing, distributing, activating, retiring or done.
	Step        string          `json:"step"`
	Since       string          `json:"step_since,omitempty"`
	From        rootStatus      `json:"from"`
	To          rootStatus      `json:"to"`
	Window      string          `json:"window,omitempty"`
	Laggards    string          `json:"laggards_policy"`
	Paused      bool            `json:"paused"`
	Reversed    bool            `json:"reversed"`
	Compromised bool            `json:"compromised"`
	Problem     string          `json:"problem,omitempty"`
	Gate        *gate           `json:"gate,omitempty"`
	Renewals    string          `json:"renewals_until,omitempty"`
	Timeline    []rotationEvent `json:"timeline"`
	Actor       string          `json:"actor"`
	Reason      string          `json:"reason,omitempty"`

	since, renewals time.Time
}

// gate is what a step waits for.
type gate struct {
	// Name is new-bundle, new-root or old-root-gone.
	Name         string    `json:"name"`
	Instances    uint32    `json:"instances"`
	Ready        uint32    `json:"ready"`
	Skipped      uint32    `json:"skipped"`
	Gone         uint32    `json:"gone"`
	Unverifiable uint32    `json:"unverifiable"`
	Waiting      uint32    `json:"waiting"`
	Laggards     []lagging `json:"laggards"`
}

// lagging is an instance that keeps a gate waiting, or would.
type lagging struct {
	Name         string `json:"name"`
	SPIFFEID     string `json:"spiffe_id,omitempty"`
	Reason       string `json:"reason"`
	Connected    bool   `json:"connected"`
	Unverifiable bool   `json:"unverifiable"`
	LastSeen     string `json:"last_seen,omitempty"`
	Until        string `json:"until,omitempty"`

	seen, until time.Time
}

type rotationEvent struct {
	Time   string `json:"time"`
	Entry  uint64 `json:"ledger_entry"`
	Verb   string `json:"verb"`
	Actor  string `json:"actor"`
	Detail string `json:"detail,omitempty"`

	at time.Time
}

// The outcomes, and those steps that something is said of.
const (
	outcomeRunning    = "running"
	outcomeCompleted  = "completed"
	outcomeRolledBack = "rolled-back"

	stepActivating = "activating"
)

func rotationOf(r *ensignv1.Rotation) rotation {
	answer := rotation{
		ID: r.GetId(), Outcome: r.GetOutcome(), Step: r.GetStep(), Since: stamp(when(r.GetStepSince())),
		From: rootOf(r.GetFrom()), To: rootOf(r.GetTo()), Laggards: laggardsOf(r.GetLaggardsPolicy()).String(),
		Paused: r.GetPaused(), Reversed: r.GetReversed(), Compromised: r.GetCompromised(), Problem: oneLine(r.GetProblem()),
		Renewals: stamp(when(r.GetRenewalsUntil())), Timeline: []rotationEvent{}, Actor: r.GetActor(), Reason: r.GetReason(),
		since: when(r.GetStepSince()), renewals: when(r.GetRenewalsUntil()),
	}
	if r.GetWindow() != nil {
		answer.Window = r.GetWindow().AsDuration().String()
	}
	if g := r.GetGate(); g.GetName() != "" {
		answer.Gate = &gate{
			Name: g.Name, Instances: g.Instances, Ready: g.Ready, Skipped: g.Skipped, Gone: g.Gone,
			Unverifiable: g.Unverifiable, Waiting: g.Waiting, Laggards: laggingOf(g.Laggards),
		}
	}
	for _, e := range r.GetTimeline() {
		answer.Timeline = append(answer.Timeline, rotationEvent{
			Time: stamp(when(e.GetTime())), Entry: e.GetIndex(), Verb: e.GetVerb(), Actor: e.GetActor(), Detail: e.GetDetail(), at: when(e.GetTime()),
		})
	}
	return answer
}

func laggingOf(list []*ensignv1.RotationLaggard) []lagging {
	answer := []lagging{}
	for _, l := range list {
		answer = append(answer, lagging{
			Name: l.GetName(), SPIFFEID: l.GetSpiffeId(), Reason: l.GetReason(), Connected: l.GetConnected(), Unverifiable: l.GetUnverifiable(),
			LastSeen: stamp(when(l.GetLastSeen())), Until: stamp(when(l.GetUntil())), seen: when(l.GetLastSeen()), until: when(l.GetUntil()),
		})
	}
	return answer
}
