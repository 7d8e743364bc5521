package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newAuditShow(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "show INDEX|SERIAL|SHA256",
		Short:   "Show one ledger entry: by its index, or by a certificate's serial or SHA-256",
		Example: "  ensign audit show 12\n  ensign audit show 5f0c3a9be1d24f7786a1c3d2e4f50617 -o yaml",
		Args:    exactly("INDEX, SERIAL or SHA256"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				entry, err := findEntry(ctx, admin, strings.ToLower(strings.ReplaceAll(args[0], ":", "")))
				if err != nil {
					return err
				}
				return printEntry(p, entry)
			})
		},
	}
}

// findEntry takes a decimal number of fewer than 12 digits for an index: serials
// are 128 random bits and hashes longer still.
func findEntry(ctx context.Context, admin ensignv1.AdminServiceClient, what string) (logged, error) {
	index, err := strconv.ParseUint(what, 10, 64)
	if err != nil || len(what) >= 12 {
		entries, err := findEntries(ctx, admin, &ensignv1.FindEntriesRequest{Certificate: what})
		if err != nil {
			return logged{}, err
		}
		return entries[0], nil
	}
	var found []logged
	_, err = readLedger(ctx, admin, index, 1, taker(func(index uint64, data []byte) error {
		entry, err := decodeEntry(index, data)
		found = append(found, entry)
		return err
	}))
	if err != nil {
		return logged{}, err
	}
	if len(found) == 0 {
		return logged{}, fmt.Errorf("the ledger holds no entry %s", what)
	}
	return found[0], nil
}

func printEntry(p printer, e logged) error {
	var rows []row
	for _, field := range []struct{ name, value string }{
		{"index", strconv.FormatUint(e.Index, 10)},
		{"kind", string(e.Kind)},
		{"time", stamp(e.Time)},
		{"spiffe_id", e.SPIFFEID},
		{"subject", e.Subject},
		{"names", e.Names},
		{"serial", e.Serial},
		{"certificate", e.Certificate},
		{"key", e.Key},
		{"not_before", stamp(e.NotBefore)},
		{"not_after", stamp(e.NotAfter)},
		{"issuer_subject", e.IssuerSubject},
		{"issuer_serial", e.IssuerSerial},
		{"proof", e.Proof},
		{"token_id", e.TokenID},
		{"proof_serial", e.ProofSerial},
		{"pod", e.Pod},
		{"pod_uid", e.PodUID},
		{"node", e.Node},
		{"requester", e.Requester},
		{"actor", e.Actor},
		{"verb", e.Verb},
		{"object", e.Object},
		{"detail", e.Detail},
	} {
		if field.value != "" {
			rows = append(rows, row{field.name, field.value})
		}
	}
	return p.print(e, nil, rows)
}
