package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/ensign-mesh/ensign/ca/keystore/kms"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/ca/upstream"
	"github.com/ensign-mesh/ensign/internal/admin"
)

// rootFlags say where roots live, and when they are replaced.
type rootFlags struct {
	first  string
	folder string
	every  time.Duration
	vault  vaultFlags
	key    rootKeyFlag
	// keys is what key says, once it is checked.
	keys kms.Place
}

func (f *rootFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.first, "root", rotation.Builtin, "where a new mesh gets its first root: builtin, vault or imported; later ones by ensign ca rotate root --via")
	flags.StringVar(&f.folder, "import-ca", "", "folder with ca-cert.pem, ca-key.pem, cert-chain.pem and root-cert.pem, as Istio's secret cacerts has them, for --root imported")
	flags.DurationVar(&f.every, "rotate-root-every", 0, "age of the root at which its rotation begins by itself; 0: never")
	f.key.register(flags)
	f.vault.register(flags)
}

func (f *rootFlags) validate() (err error) {
	if f.keys, err = f.key.validate(); err != nil {
		return err
	}
	switch {
	case f.first != rotation.Builtin && f.first != rotation.Vault && f.first != rotation.Imported:
		return fmt.Errorf("--root %q: want builtin, vault or imported", f.first)
	case f.first == rotation.Vault && !f.vault.set():
		return errors.New("--root vault needs --vault-addr: give the URL of Vault")
	case f.first == rotation.Imported && f.folder == "":
		return errors.New("--root imported needs --import-ca: give the folder of the CA")
	case f.first != rotation.Imported && f.folder != "":
		return errors.New("--import-ca is of use only with --root imported")
	case f.every < 0:
		return fmt.Errorf("--rotate-root-every %s: want an age, or 0 for never", f.every)
	}
	return f.vault.check()
}

// openRoots opens the places of roots, and what keeps them.
func (a *authority) openRoots(ctx context.Context, c config, log *slog.Logger, reg prometheus.Registerer) (err error) {
	if a.rootKeys, err = openRootKeys(ctx, c.root.keys, a.keys, log); err != nil {
		return err
	}
	builtin, err := upstream.NewBuiltin(upstream.Config{Dir: c.data, TrustDomain: c.domain, Keys: a.rootKeys, Ledger: a.ledger, Logger: log})
	if err != nil {
		return err
	}
	imported, err := upstream.NewImported(upstream.ImportConfig{
		Folder: c.root.folder, TrustDomain: c.domain, Keys: a.keys, Issuers: a.keys, Ledger: a.ledger, Logger: log,
	})
	if err != nil {
		return err
	}
	places := map[string]rotation.Place{rotation.Builtin: builtin, rotation.Imported: imported}
	first := map[string]rotation.First{rotation.Builtin: builtin.First, rotation.Imported: imported.First}
	if c.root.vault.set() {
		if a.vault, err = c.root.vault.place(c.domain, a.ledger, log, reg); err != nil {
			return err
		}
		places[rotation.Vault], first[rotation.Vault] = a.vault, a.vault.First
	}
	a.roots, err = rotation.Open(ctx, rotation.Config{
		TrustDomain: c.domain, Ledger: a.ledger, Places: places, FirstPlace: c.root.first, First: first[c.root.first],
		Dir: c.data, Revoked: a.register.RevokedIssuer, Every: c.root.every, Visible: c.bundle.visible(), Logger: log, Registerer: reg,
	})
	return err
}

// runVault keeps ensignd logged in to Vault, if there is one.
func (a *authority) runVault(ctx context.Context) error {
	if a.vault == nil {
		return nil
	}
	return a.vault.Run(ctx)
}

// leadsTo is the fingerprint of the root that an issuer leads to, by the issuer's serial.
func (a *authority) leadsTo(ctx context.Context, issuerSerial string) (string, error) {
	issuer, err := a.ledger.BySerial(ctx, issuerSerial)
	if err != nil {
		return "", err
	}
	return a.roots.RootOf(issuer.IssuerSubject, issuer.IssuerSerial), nil
}

// awaited names the root to which a rotation asks the bearer of an SVID to renew. It
// implements caserver.Awaited.
func (a *authority) awaited(ctx context.Context, serial string) string {
	trust, _ := a.roots.Trust()
	if trust.RenewWithin <= 0 {
		return ""
	}
	svid, err := a.ledger.BySerial(ctx, serial)
	if err != nil {
		return ""
	}
	if root, err := a.leadsTo(ctx, svid.IssuerSerial); err != nil || root == trust.Root {
		return ""
	}
	return trust.Root
}

// upstream is the place of the root that signs now.
func (a *authority) upstream() admin.Upstream {
	place, _ := a.roots.Place()
	out := admin.Upstream{Place: place, Problem: a.roots.Healthy()}
	if place == rotation.Vault && a.vault != nil {
		out.CredentialExpires = a.vault.CredentialExpires()
	}
	return out
}

// rotate carries rotations on until ctx ends.
func (a *authority) rotate(ctx context.Context, mesh rotation.Mesh) error {
	if err := a.roots.Run(ctx, mesh); ctx.Err() == nil {
		return err
	}
	return nil
}
