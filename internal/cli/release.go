package cli

import (
	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newRelease(g *globals) *cobra.Command {
	act := cutOff{request: &ensignv1.CutOffRequest{Verb: "release", Kind: "id"}}
	cmd := &cobra.Command{
		Use:   "release ID",
		Short: "End the quarantine of an identity",
		Long: "Lets the identity back in: it is issued certificates, calls and is called as policies say.\n" +
			"What was revoked by `ensign revoke` stays revoked.",
		Example: "  ensign release spiffe://cluster.local/ns/shop/sa/reviews --reason 'incident 42 is over'",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			act.request.Value = args[0]
			return act.run(cmd, g)
		},
	}
	act.register(cmd.Flags())
	return cmd
}
