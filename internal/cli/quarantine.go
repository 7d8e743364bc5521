package cli

import (
	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newQuarantine(g *globals) *cobra.Command {
	act := cutOff{request: &ensignv1.CutOffRequest{Verb: "quarantine", Kind: "id"}}
	cmd := &cobra.Command{
		Use:   "quarantine ID",
		Short: "Keep an identity out of the mesh, in both directions, until it is released",
		Long: "Nothing is issued to the identity, whatever it proves; nobody takes its calls and nobody\n" +
			"calls it; its live connections are cut. It stays so until `ensign release`. With --wait the\n" +
			"command ends when every proxy has said that it obeys and no connection is left open, or\n" +
			"names those that have not and exits with 1.",
		Example: "  ensign quarantine spiffe://cluster.local/ns/shop/sa/reviews --plan\n" +
			"  ensign quarantine spiffe://cluster.local/ns/shop/sa/reviews --reason 'incident 42' --wait",
		Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			act.request.Value = args[0]
			return act.run(cmd, g)
		},
	}
	act.register(cmd.Flags())
	act.registerPlanAndWait(cmd.Flags())
	return cmd
}
