package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/ensign-mesh/ensign/ca/keystore"
)

func newKEKNew(*globals) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a new key-encryption key: 32 random bytes in base64",
		Long: "Makes the key that encrypts the root key in ensignd's data folder. Keep it outside\n" +
			"that folder, where backups of the folder do not reach: whoever has both has the root.",
		Example: "  ensign kek new --out /etc/ensign/kek\n  ENSIGN_KEK=$(ensign kek new) ensignd --manifests mesh --data data",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := keystore.NewKEK().Encode() + "\n"
			if out == "" {
				_, err := fmt.Fprint(cmd.OutOrStdout(), text)
				return err
			}
			return writeNew(out, text)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write, of mode 0600; must not exist (default: print it)")
	return cmd
}

// writeNew writes a secret file that must not be there yet: overwriting a key
// loses what it encrypts.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already: a new key would lock out what the old one encrypts; give another --out", path)
	}
	if err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	_, err = file.WriteString(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	return nil
}
