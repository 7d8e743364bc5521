package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newAuditList(g *globals) *cobra.Command {
	var (
		ask   ensignv1.FindEntriesRequest
		since time.Duration
	)
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List what the ledger holds: SVIDs, issuers, roots and admin acts, oldest first",
		Example: "  ensign audit list --kind admin\n  ensign audit list --id spiffe://cluster.local/ns/shop/sa/reviews --since 24h -o json",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			if since > 0 {
				ask.Since = timestamppb.New(time.Now().Add(-since))
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				entries, err := findEntries(ctx, admin, &ask)
				if err != nil {
					return err
				}
				return printEntries(p, entries)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&ask.Kind, "kind", "", "only this kind: svid, issuer, server, root, admin, revocation or rotation")
	flags.StringVar(&ask.SpiffeId, "id", "", "only this SPIFFE ID")
	flags.DurationVar(&since, "since", 0, "only entries not older than this")
	flags.Uint32Var(&ask.Limit, "limit", 1000, "only the newest N, at most 100000")
	return cmd
}

func printEntries(p printer, entries []logged) error {
	rows := make([]row, 0, len(entries))
	for _, e := range entries {
		proof := e.Proof
		if id := e.TokenID + e.ProofSerial; id != "" {
			proof += " " + short(id)
		}
		rows = append(rows, row{
			strconv.FormatUint(e.Index, 10), stamp(e.Time), string(e.Kind), e.who(), dash(e.Serial), dash(stamp(e.NotAfter)), dash(proof),
		})
	}
	return p.print(entries, row{"INDEX", "TIME", "KIND", "WHO", "SERIAL", "NOT AFTER", "PROOF"}, rows)
}

// who is whom the entry is about: an identity, a CA, a server, or an actor.
func (l logged) who() string {
	if l.Actor != "" {
		return l.Actor + " " + l.Verb + " " + l.Object
	}
	if l.SPIFFEID != "" {
		return l.SPIFFEID
	}
	return l.Subject + l.Names
}
