package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newCAStatus(g *globals) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show who signs, what is trusted, until when can be issued, and how far a rotation is",
		Long: "Shows each root with its end and the live SVIDs under it; the issuer that signs now; whether\n" +
			"the place of the root is well, and until when SVIDs can be issued if it stays away; and the\n" +
			"rotation that runs: each step, how many the gate counts, and by name who keeps it waiting,\n" +
			"why, and when that one's SVID ends. --watch shows it anew with every change until no\n" +
			"rotation runs; with -o json as one document a line. Ctrl-C ends it with 0.",
		Example: "  ensign ca status\n  ensign ca status --watch\n  ensign ca status -o json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				if watch {
					return watchStatus(ctx, admin, p)
				}
				answer, err := admin.GetAuthority(ctx, &ensignv1.GetAuthorityRequest{})
				if err != nil {
					return err
				}
				return printAuthority(p, authorityOf(answer))
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "go on with every change until no rotation runs")
	return cmd
}

func watchStatus(ctx context.Context, admin ensignv1.AdminServiceClient, p printer) error {
	f := following{admin: admin, told: &documents{printer: p}}
	if p.format == "table" {
		f.told = newTeller(p.out, wholeStatus)
	}
	err := f.run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// printAuthority prints all: as a person reads it, or as a document.
func printAuthority(p printer, a authority) error {
	if p.format != "table" {
		return p.print(a, nil, nil)
	}
	if s := newScreen(p.out); s != nil {
		return s.print(a.lines(drawnMarks, len(a.laggards())))
	}
	for _, l := range a.lines(plainMarks, len(a.laggards())) {
		if _, err := fmt.Fprintln(p.out, l); err != nil {
			return err
		}
	}
	return nil
}

// laggards are those that the gate names.
func (a authority) laggards() []lagging {
	if a.Rotation == nil || a.Rotation.Gate == nil {
		return nil
	}
	return a.Rotation.Gate.Laggards
}
