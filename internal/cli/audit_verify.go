package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ensign-mesh/ensign/ca/ledger/audit"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// verified is the answer of `audit verify`.
type verified struct {
	Holds bool `json:"holds"`
	audit.Summary
	// Claim says in words what was proven.
	Claim       string `json:"claim"`
	Checkpoint  string `json:"checkpoint"`
	VerifierKey string `json:"verifier_key"`
}

func newAuditVerify(g *globals) *cobra.Command {
	var older, key, save string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Recompute the ledger's Merkle root from every entry and check its signature",
		Long: "Reads every entry, recomputes the root, and holds it against the signed checkpoint. Without\n" +
			"an older checkpoint this proves only that the record is consistent in itself; keep one\n" +
			"(--save) somewhere else, and give it next time (--checkpoint) to prove that nothing that\n" +
			"was recorded then has been changed, dropped or moved. --key pins the ledger's key.",
		Example: "  ensign audit verify --save checkpoint-monday\n  ensign audit verify --checkpoint checkpoint-monday",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				answer, err := verifyLedger(ctx, admin, older, key)
				if err != nil {
					return err
				}
				if save != "" {
					if err := replaceFile(save, answer.Checkpoint); err != nil {
						return fmt.Errorf("saving the checkpoint: %w", err)
					}
				}
				return p.print(answer, row{"HOLDS", "ENTRIES", "ROOT", "WHAT IS PROVEN"}, []row{{
					"yes", strconv.FormatUint(answer.Entries, 10), answer.Root, answer.Claim,
				}})
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&older, "checkpoint", "", "file with an older checkpoint that the ledger must have grown from")
	flags.StringVar(&key, "key", "", "the ledger's verifier key, as you know it (default: as ensignd says)")
	flags.StringVar(&save, "save", "", "write the newest checkpoint to this file")
	return cmd
}

// verifyLedger buffers nothing but the checkpoint: the entries stream by. The key
// comes with the checkpoint, at the end, so an unpinned key is asked for first.
func verifyLedger(ctx context.Context, admin ensignv1.AdminServiceClient, older, key string) (verified, error) {
	if key == "" {
		head, err := readLedger(ctx, admin, 0, 1, func(*ensignv1.LedgerEntry) error { return nil })
		if err != nil {
			return verified{}, err
		}
		key = head.VerifierKey
	}
	verifier, err := audit.New(key)
	if err != nil {
		return verified{}, usagef("--key: %v", err)
	}
	if older != "" {
		text, err := os.ReadFile(older)
		if err != nil {
			return verified{}, usagef("--checkpoint: %v", err)
		}
		if err := verifier.Expect(string(text)); err != nil {
			return verified{}, err
		}
	}
	checkpoint, err := readLedger(ctx, admin, 0, 0, func(e *ensignv1.LedgerEntry) error { return verifier.Add(e.Index, e.Data) })
	if err != nil {
		return verified{}, err
	}
	summary, err := verifier.Finish(checkpoint.Note)
	if err != nil {
		return verified{}, err
	}
	claim := "internally consistent only: no older checkpoint was given"
	if size := summary.ConsistentWith; size != nil {
		claim = fmt.Sprintf("nothing of the %d entries of the older checkpoint was changed", *size)
	}
	return verified{Holds: true, Summary: summary, Claim: claim, Checkpoint: checkpoint.Note, VerifierKey: key}, nil
}
