package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

type identityRow struct {
	SPIFFEID       string   `json:"spiffe_id"`
	Namespace      string   `json:"namespace"`
	ServiceAccount string   `json:"service_account"`
	Present        bool     `json:"present"`
	Pods           []string `json:"pods"`
	LiveSVIDs      uint32   `json:"live_svids"`
	LastIssuedAt   string   `json:"last_issued_at,omitempty"`
	LastExpiresAt  string   `json:"last_expires_at,omitempty"`
}

func newIdentityList(g *globals) *cobra.Command {
	var ask ensignv1.ListIdentitiesRequest
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List every identity: who exists now, and who still holds a live SVID",
		Example: "  ensign identity list\n  ensign identity list --namespace shop -o json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				answer, err := admin.ListIdentities(ctx, &ask)
				if err != nil {
					return err
				}
				return printIdentities(p, answer.Identities)
			})
		},
	}
	cmd.Flags().StringVar(&ask.Namespace, "namespace", "", "only this namespace")
	return cmd
}

func printIdentities(p printer, identities []*ensignv1.Identity) error {
	values := make([]identityRow, 0, len(identities))
	rows := make([]row, 0, len(identities))
	for _, id := range identities {
		value := identityRow{
			SPIFFEID: id.SpiffeId, Namespace: id.Namespace, ServiceAccount: id.ServiceAccount,
			Present: id.Present, Pods: append([]string{}, id.Pods...), LiveSVIDs: id.LiveSvids,
			LastIssuedAt: stamp(id.LastIssuedAt.AsTime()), LastExpiresAt: stamp(id.LastExpiresAt.AsTime()),
		}
		values = append(values, value)
		rows = append(rows, row{
			value.SPIFFEID, strconv.FormatBool(value.Present), dash(strings.Join(value.Pods, ",")),
			strconv.Itoa(int(value.LiveSVIDs)), dash(value.LastIssuedAt), dash(value.LastExpiresAt),
		})
	}
	return p.print(values, row{"SPIFFE ID", "PRESENT", "PODS", "LIVE SVIDS", "LAST ISSUED", "LAST EXPIRES"}, rows)
}
