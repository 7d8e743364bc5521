package cli

import (
	"context"
	"errors"
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

var errFound = errors.New("found")

// findEntry takes a decimal number of fewer than 12 digits for an index: serials
// are 128 random bits and hashes longer still.
func findEntry(ctx context.Context, admin ensignv1.AdminServiceClient, what string) (logged, error) {
	var from, limit uint64
	index, err := strconv.ParseUint(what, 10, 64)
	byIndex := err == nil && len(what) < 12
	if byIndex {
		from, limit = index, 1
	}
	var entry logged
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, err = readLedger(ctx, admin, from, limit, func(raw *ensignv1.LedgerEntry) error {
		e, err := decodeEntry(raw)
		if err != nil {
			return err
		}
		if byIndex || e.Serial == what || e.Certificate == what {
			entry = e
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return entry, nil
	}
	if err != nil {
		return logged{}, err
	}
	return logged{}, fmt.Errorf("the ledger holds no entry %s", what)
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
