package cli

import (
	"context"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newProxyRelease(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "release RESOURCE",
		Short: "Send a resource that was held back because proxies refused it",
		Long: "A resource that two identities of one Envoy version refuse is held back from the rest of\n" +
			"that version. Release sends it all the same: when the refusals are understood.",
		Example: "  ensign proxy release '0.0.0.0_80'",
		Args:    exactly("RESOURCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				answer, err := admin.ReleaseHold(ctx, &ensignv1.ReleaseHoldRequest{Resource: args[0]})
				if err != nil {
					return err
				}
				released := statusOf(&ensignv1.ListProxiesResponse{Holds: answer.Released}).Holds
				rows := make([]row, 0, len(released))
				for _, h := range released {
					rows = append(rows, row{h.Type, h.Resource, h.EnvoyVersion, h.Version})
				}
				return p.print(released, row{"TYPE", "RELEASED", "ENVOY", "VERSION"}, rows)
			})
		},
	}
}
