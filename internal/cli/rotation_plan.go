package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// rotationPlan is what a rotation would do; its keys are stable.
type rotationPlan struct {
	From      rootStatus `json:"from"`
	To        rootStatus `json:"to"`
	Instances uint32     `json:"instances"`
	Connected uint32     `json:"connected"`
	Laggards  []lagging  `json:"laggards"`
	Steps     []string   `json:"steps"`
	Warnings  []string   `json:"warnings"`
	// Refusal is why it cannot be begun.
	Refusal string `json:"refusal,omitempty"`
}

// askPlan asks what a request would do.
func askPlan(ctx context.Context, admin ensignv1.AdminServiceClient, r *ensignv1.RotateRootRequest) (rotationPlan, error) {
	only := proto.CloneOf(r)
	only.Plan = true
	answer, err := admin.RotateRoot(ctx, only)
	if err != nil {
		return rotationPlan{}, err
	}
	p := answer.GetPlan()
	return rotationPlan{
		From: rootOf(p.GetFrom()), To: rootOf(p.GetTo()), Instances: p.GetInstances(), Connected: p.GetConnected(),
		Laggards: laggingOf(p.GetLaggards()), Steps: append([]string{}, p.GetSteps()...),
		Warnings: append([]string{}, p.GetWarnings()...), Refusal: p.GetRefusal(),
	}, nil
}

// refused is the refusal as an error.
func (p rotationPlan) refused() error {
	if p.Refusal == "" {
		return nil
	}
	return errors.New("it cannot be begun: " + printable(p.Refusal))
}

// printRotationPlan prints what would happen, step by step, and who would be late.
func printRotationPlan(p printer, plan rotationPlan) error {
	if p.format != "table" {
		return p.print(plan, nil, nil)
	}
	to := "a new root in " + dash(plan.To.Place)
	fmt.Fprintf(p.out, "from       %s\n", printable(plan.From.label()+", ends "+dash(plan.From.NotAfter)))
	fmt.Fprintf(p.out, "to         %s\nworkloads  %d, %d of them connected\n\n", printable(to), plan.Instances, plan.Connected)
	for i, step := range plan.Steps {
		fmt.Fprintf(p.out, "%d. %s\n", i+1, printable(step))
	}
	for _, warning := range plan.Warnings {
		fmt.Fprintf(p.out, "warning: %s\n", printable(warning))
	}
	switch {
	case len(plan.Laggards) == 0 && plan.Refusal == "":
		fmt.Fprintln(p.out, "\nas things are, nobody would be late")
		return nil
	case len(plan.Laggards) == 0:
		return nil
	}
	fmt.Fprintln(p.out, "\nas things are, these would be late:")
	rows := make([]row, 0, len(plan.Laggards))
	for _, l := range plan.Laggards {
		rows = append(rows, l.row(time.Now()))
	}
	return p.table(laggingHeader, rows)
}
