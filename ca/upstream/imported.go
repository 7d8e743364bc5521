package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// ImportConfig is what an imported CA needs; all fields but Folder and Logger are required.
type ImportConfig struct {
	// Folder holds ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem, as Istio's
	// secret cacerts does. It is read by First alone, and may go once ensignd has started.
	Folder      string
	TrustDomain spiffeid.TrustDomain
	Keys        KeyStore
	// Issuers gets a CA of path length 0, which can only sign SVIDs itself.
	Issuers ca.IssuerStore
	// Ledger gets the root's entry, and must hold it ever after.
	Ledger Ledger
	// Logger hears of the import. Nil is silence.
	Logger *slog.Logger
}

// Imported is the place of a CA that was made elsewhere. It implements [rotation.Place]
// but makes no roots, and is safe for concurrent use.
type Imported struct {
	cfg ImportConfig
}

// NewImported is the place of an imported CA. Nothing is read yet.
func NewImported(cfg ImportConfig) (*Imported, error) {
	if cfg.TrustDomain.IsZero() || cfg.Keys == nil || cfg.Issuers == nil || cfg.Ledger == nil {
		return nil, errors.New("an imported CA needs a trust domain, a key store, an issuer store and a ledger")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Imported{cfg: cfg}, nil
}

// First implements [rotation.First]: it reads the folder, seals the key and records the
// root.
func (p *Imported) First(ctx context.Context) (string, rotation.Root, error) {
	return "", nil, errors.New("not yet")
}

// Make implements [rotation.Place]: it refuses.
func (p *Imported) Make(context.Context, string) (rotation.Root, error) {
	return nil, errors.New("a CA is imported as the first root only: rotate to `--via builtin` or `--via vault`")
}

// Open implements [rotation.Place].
func (p *Imported) Open(_ context.Context, name string, chain []*x509.Certificate) (rotation.Root, error) {
	return nil, fmt.Errorf("opening %s: not yet", name)
}

// Healthy implements [rotation.Place]: the key is at hand.
func (p *Imported) Healthy() error { return nil }
