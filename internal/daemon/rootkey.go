package daemon

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"

	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/keystore/kms"
)

// rootKeyFlag says where the keys of built-in roots are made.
type rootKeyFlag struct{ uri string }

func (f *rootKeyFlag) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.uri, "root-key", "file:", "where keys of built-in roots are made from now on: file: (sealed in the data folder), "+
		"pkcs11:module-path=FILE;token=NAME?pin-source=FILE, or, not verified against a real cloud, awskms:region=NAME, "+
		"azurekms:vault=NAME, cloudkms:projects/P/locations/L/keyRings/R; keys that are there stay where they are until the root is rotated")
}

func (f rootKeyFlag) validate() (kms.Place, error) {
	place, err := kms.Parse(f.uri)
	if err != nil {
		return kms.Place{}, fmt.Errorf("--root-key: %w", err)
	}
	return place, nil
}

// openRootKeys is the key store of built-in roots: sealed has its references, and the
// keys that are in files. Close it behind all who sign.
func openRootKeys(ctx context.Context, place kms.Place, sealed *keystore.Store, log *slog.Logger) (*kms.Store, error) {
	keys, err := kms.Open(ctx, kms.Config{Place: place, Keys: sealed, References: sealed, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("--root-key: %w", err)
	}
	return keys, nil
}
