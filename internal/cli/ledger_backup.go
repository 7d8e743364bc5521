package cli

import (
	"github.com/spf13/cobra"
)

func newLedgerBackup(g *globals) *cobra.Command {
	e := &exporting{}
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Back up the record while ensignd runs, and verify it on the way",
		Long: "Writes every entry and the signed checkpoint that covers them into one file, which is put\n" +
			"in place only when all of it verified; ensignd goes on meanwhile. Back up DATA/keys as\n" +
			"well, once: without the ledger's key nothing can be restored. Keep the key-encryption key\n" +
			"apart from both. `ensign audit verify FILE` checks a backup, `ensign ledger restore` puts\n" +
			"it back.",
		Example: "  ensign ledger backup --out ledger-$(date +%F).jsonl",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return e.run(cmd, g) },
	}
	e.register(cmd.Flags())
	return cmd
}
