package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// restored is the answer of `ledger restore`.
type restored struct {
	Entries    uint64   `json:"entries"`
	Root       string   `json:"root"`
	Checkpoint string   `json:"checkpoint"`
	Replaced   string   `json:"replaced,omitempty"`
	Warnings   []string `json:"warnings"`
}

// restoring is one run of `ledger restore`.
type restoring struct {
	kek   string
	newer []string
}

func newLedgerRestore(g *globals) *cobra.Command {
	r := &restoring{}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup of the record back, if nothing that was signed later gets lost by it",
		Long: "Verifies the backup from its first to its last byte, builds a new store of it, and puts that\n" +
			"in the place of the present one, which is kept under another name. ensignd must be stopped.\n" +
			"It is refused when the backup ends below a checkpoint that the ledger's key has signed, as\n" +
			"far as the data folder shows and --checkpoint tells: agents and auditors hold such\n" +
			"checkpoints, and would see a fork. Then take a newer backup. A kill at any moment leaves\n" +
			"the old store, the new one, or one that ensignd refuses until restore is run again. When all\n" +
			"is read the new store is indexed and checked once more: at a million entries that takes minutes.",
		Example: "  ensign ledger restore ledger-2026-11-21.jsonl --data /var/lib/ensign --kek /etc/ensign/kek\n" +
			"  ensign ledger restore ledger.jsonl --kek kek --checkpoint checkpoint-monday",
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			answer, err := r.run(cmd.Context(), g.target, args[0], newProgress(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			for _, warning := range answer.Warnings {
				fmt.Fprintf(cmd.ErrOrStderr(), "ensign: warning: %s\n", warning)
			}
			return p.print(answer, row{"ENTRIES", "ROOT", "KEPT BEFORE"}, []row{{
				strconv.FormatUint(answer.Entries, 10), dash(answer.Root), dash(answer.Replaced),
			}})
		},
	}
	cmd.Flags().StringVar(&r.kek, "kek", "", "file with the key-encryption key of the data folder (default $ENSIGN_KEK)")
	cmd.Flags().StringArrayVar(&r.newer, "checkpoint", nil, "file with a checkpoint that the backup must hold; repeatable")
	return cmd
}

func (r *restoring) run(ctx context.Context, t target, name string, told *progress) (restored, error) {
	data := t.folder()
	if data == "" || t.server != "" {
		return restored{}, usagef("a backup is restored into a data folder on this machine: give --data DIR or set ENSIGN_DATA")
	}
	newer, err := readNotes(r.newer)
	if err != nil {
		return restored{}, err
	}
	file, err := os.Open(name)
	if err != nil {
		return restored{}, usagef("opening the backup: %v", err)
	}
	defer file.Close()
	origin, err := originOf(file)
	if err != nil {
		return restored{}, fmt.Errorf("reading the backup: %w", err)
	}
	keys, err := openKeys(data, r.kek)
	if err != nil {
		return restored{}, err
	}
	follow, err := told.ofFile(file)
	if err != nil {
		return restored{}, err
	}
	defer told.end()
	done, err := ledger.Restore(ctx, ledger.RestoreConfig{
		Path: filepath.Join(data, "ledger.db"), Origin: origin, Keys: keys, From: file, Newer: newer, Progress: follow,
	})
	if err != nil {
		return restored{}, err
	}
	return restored{
		Entries: done.Entries, Root: done.Root, Checkpoint: done.Checkpoint,
		Replaced: done.Replaced, Warnings: append([]string{}, done.Warnings...),
	}, nil
}

// originOf reads whose log a backup is by its own word, and winds the file back. The
// word is proven later: by the signature of the data folder's own key under that name.
func originOf(file *os.File) (string, error) {
	reader, err := audit.NewReader(file)
	if err != nil {
		return "", err
	}
	_, err = file.Seek(0, io.SeekStart)
	return reader.Header().Origin, err
}

// openKeys opens the key store of a data folder that nobody else has open, and
// holds it until this process ends: ensignd cannot start meanwhile.
func openKeys(data, kekFile string) (*keystore.Store, error) {
	dir := filepath.Join(data, "keys")
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: put the key store of the installation that made the backup back first", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("looking at the key store: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s belongs to uid %d, and this runs as %d: ensignd could not open what it restores; run it as that user", dir, owner.Uid, os.Geteuid())
	}
	kek, err := loadKEK(kekFile, data)
	if err != nil {
		return nil, err
	}
	keys, err := keystore.Open(dir, kek)
	if err != nil {
		return nil, fmt.Errorf("opening the key store, which needs ensignd stopped: %w", err)
	}
	return keys, nil
}

func loadKEK(file, data string) (keystore.KEK, error) {
	if file != "" {
		return keystore.LoadKEK(file, data)
	}
	return keystore.ParseKEK(os.Getenv("ENSIGN_KEK"))
}
