package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newCAPause(g *globals) *cobra.Command {
	s := steering{verb: "pause"}
	return s.command(g, "Halt the rotation where it is",
		"What is trusted and who signs stays as it is; no further step begins until\n`ensign ca resume`, or `ensign ca rollback`. A restart of ensignd changes nothing about it.",
		"  ensign ca pause --reason 'the network team is at work'")
}

func newCAResume(g *globals) *cobra.Command {
	s := steering{verb: "resume"}
	return s.command(g, "Let a rotation that was halted go on",
		"The rotation goes on with the step that it was halted in.",
		"  ensign ca resume --wait")
}

func newCARollback(g *globals) *cobra.Command {
	s := steering{verb: "rollback"}
	return s.command(g, "Go back to the root from before the rotation",
		"The same machine in reverse, through the same gates: nobody loses a root that another\n"+
			"lives on. A rotation that is done is undone by a new one, to the root before it. It is\n"+
			"refused when that root has expired, was compromised, or its key is gone.",
		"  ensign ca rollback --reason 'the new root is in the wrong place' --wait")
}

// steering is `pause`, `resume` or `rollback`.
type steering struct {
	verb, reason string
	wait         wait
}

func (s *steering) command(g *globals, short, long, example string) *cobra.Command {
	cmd := &cobra.Command{
		Use: s.verb, Short: short, Long: long, Example: example, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd, g) },
	}
	cmd.Flags().StringVar(&s.reason, "reason", "", "why, for the record")
	if s.verb != "pause" {
		s.wait.register(cmd.Flags())
	}
	return cmd
}

func (s *steering) run(cmd *cobra.Command, g *globals) error {
	p, err := newPrinter(cmd.OutOrStdout(), g.output)
	if err != nil {
		return err
	}
	if err := s.wait.check(cmd.Flags()); err != nil {
		return err
	}
	return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
		answer, err := admin.SteerRotation(ctx, &ensignv1.SteerRotationRequest{Verb: s.verb, Reason: s.reason})
		if err != nil {
			return err
		}
		now := authorityOf(answer.Authority)
		if s.wait.asked || !now.Rotation.running() {
			return s.wait.run(ctx, admin, now, p, cmd.ErrOrStderr())
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s is in the ledger: %s\n", s.verb, printable(howOn(s.verb)))
		return printRotation(p, now)
	})
}

// howOn says what comes after an act.
func howOn(verb string) string {
	if verb == "pause" {
		return "`ensign ca resume` goes on, `ensign ca rollback` goes back"
	}
	return howTo
}
