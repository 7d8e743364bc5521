package cli

import (
	"strings"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// revokeKinds are the flags of `revoke`, of which one is given.
var revokeKinds = []struct{ kind, value, help string }{
	{"serial", "HEX", "one certificate, and all that was renewed from it"},
	{"id", "SPIFFE-ID", "all certificates and tokens that this identity has now"},
	{"pod", "NAMESPACE/NAME", "all certificates and tokens that this pod has now"},
	{"serviceaccount", "NAMESPACE/NAME", "as --id, by the account's name"},
	{"issuer", "HEX", "everything that this issuer ever signed, recorded or not"},
}

func newRevoke(g *globals) *cobra.Command {
	var act cutOff
	values := make([]string, len(revokeKinds))
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "End certificates that exist, and the proofs that they came from, everywhere",
		Long: "Refuses the certificates of a target from now on, at every proxy at once: on live\n" +
			"connections and new ones, as clients and as servers. Nothing is renewed from them; with\n" +
			"--id, --pod and --serviceaccount, tokens made before the act prove nothing either. The\n" +
			"owner comes back with a new key, by its token or a newer one. To keep an identity out\n" +
			"altogether, use `ensign quarantine`.",
		Example: "  ensign revoke --serial 4f1c22 --plan\n  ensign revoke --pod shop/reviews-v1 --reason 'node stolen' --wait\n" +
			"  ensign revoke --serviceaccount shop/reviews --wait=1m",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var given []string
			for i, k := range revokeKinds {
				if cmd.Flags().Changed(k.kind) {
					act.request.Kind, act.request.Value = k.kind, values[i]
					given = append(given, "--"+k.kind)
				}
			}
			if len(given) != 1 {
				return usagef("%s needs one of %s; see `%s --help`", cmd.CommandPath(), strings.Join(kindFlags(), ", "), cmd.CommandPath())
			}
			return act.run(cmd, g)
		},
	}
	act.request = &ensignv1.CutOffRequest{Verb: "revoke"}
	for i, k := range revokeKinds {
		cmd.Flags().StringVar(&values[i], k.kind, "", k.help+" ("+k.value+")")
	}
	act.register(cmd.Flags())
	act.registerPlanAndWait(cmd.Flags())
	return cmd
}

func kindFlags() []string {
	var flags []string
	for _, k := range revokeKinds {
		flags = append(flags, "--"+k.kind)
	}
	return flags
}
