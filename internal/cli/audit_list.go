package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newAuditList(g *globals) *cobra.Command {
	var filter auditFilter
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
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				return listAudit(ctx, admin, p, filter)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&filter.kind, "kind", "", "only this kind: svid, issuer, root or admin")
	flags.StringVar(&filter.id, "id", "", "only this SPIFFE ID")
	flags.DurationVar(&filter.since, "since", 0, "only entries not older than this")
	flags.IntVar(&filter.limit, "limit", 1000, "only the newest N; 0 for all")
	return cmd
}

func listAudit(ctx context.Context, admin ensignv1.AdminServiceClient, p printer, filter auditFilter) error {
	entries := []logged{}
	_, err := readLedger(ctx, admin, 0, 0, func(raw *ensignv1.LedgerEntry) error {
		entry, err := decodeEntry(raw)
		if err != nil {
			return err
		}
		if filter.matches(entry) {
			entries = append(entries, entry)
		}
		if filter.limit > 0 && len(entries) > 2*filter.limit {
			entries = append(entries[:0], entries[len(entries)-filter.limit:]...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if filter.limit > 0 && len(entries) > filter.limit {
		entries = entries[len(entries)-filter.limit:]
	}
	rows := make([]row, 0, len(entries))
	for _, e := range entries {
		who := e.SPIFFEID
		if who == "" {
			who = e.Subject + e.Names
		}
		if e.Actor != "" {
			who = e.Actor + " " + e.Verb + " " + e.Object
		}
		proof := e.Proof
		if id := e.TokenID + e.ProofSerial; id != "" {
			proof += " " + short(id)
		}
		rows = append(rows, row{strconv.FormatUint(e.Index, 10), stamp(e.Time), string(e.Kind), who, dash(e.Serial), dash(stamp(e.NotAfter)), dash(proof)})
	}
	return p.print(entries, row{"INDEX", "TIME", "KIND", "WHO", "SERIAL", "NOT AFTER", "PROOF"}, rows)
}
