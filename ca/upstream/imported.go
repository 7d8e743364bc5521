package upstream

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// importedName is the name of an imported CA in its place.
const importedName = "imported"

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

// First implements [rotation.First]. It reads the folder, then seals the key, then
// records the root; a crash in between leaves what the next call goes on with, as long
// as the folder is there. An error wraps [ErrOtherRoot] if the mesh has a root already.
func (p *Imported) First(ctx context.Context) (string, rotation.Root, error) {
	if p.cfg.Folder == "" {
		return "", nil, errors.New("the CA to import is not named: give its folder, as in `--import-ca cacerts`")
	}
	cacerts, err := readFolder(p.cfg.Folder)
	if err == nil {
		err = cacerts.check(p.cfg.TrustDomain, time.Now())
	}
	if err != nil {
		return "", nil, fmt.Errorf("importing the CA of %s: %w", p.cfg.Folder, err)
	}
	recorded, err := p.checkHistory(ctx, cacerts.root())
	if err != nil {
		return "", nil, err
	}
	if err := p.seal(cacerts); err != nil {
		return "", nil, fmt.Errorf("sealing the imported CA: %w", err)
	}
	if !recorded {
		if _, err := p.cfg.Ledger.Append(ctx, ca.CertificateEntry(ca.KindRoot, cacerts.root(), cacerts.root(), time.Now())); err != nil {
			return "", nil, fmt.Errorf("%w: recording the imported root: %w", ca.ErrLedger, err)
		}
	}
	p.cfg.Logger.WarnContext(ctx, "a CA was imported: whoever holds another CA of its root can be anybody in this mesh until the root is rotated, by `ensign ca rotate root`",
		slog.String("ca", cacerts.chain[0].Subject.String()), slog.String("root", cacerts.root().Subject.String()),
		slog.Bool("signs_svids_itself", cacerts.chain[0].MaxPathLenZero))
	return importedName, &root{key: cacerts.key, chain: cacerts.chain}, nil
}

// seal keeps the key; a CA that may certify none is kept as the issuer that it is.
func (p *Imported) seal(c *cacerts) error {
	kept, err := p.cfg.Keys.EnsureKey(keyName(importedName), func() (crypto.Signer, error) { return c.key, nil })
	if err != nil {
		return err
	}
	if !samePublicKey(c.chain[0], kept) {
		return errors.New("the key of another CA was imported before: give that folder again, or use a new data folder")
	}
	if !c.chain[0].MaxPathLenZero {
		return nil
	}
	issuer := ca.StoredIssuer{Key: c.key, Chain: c.chain[:len(c.chain)-1], Imported: true}
	all, err := p.cfg.Issuers.LoadIssuers()
	if slices.ContainsFunc(all, func(i ca.StoredIssuer) bool { return i.Chain[0].Equal(issuer.Chain[0]) }) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.cfg.Issuers.SaveIssuer(issuer)
}

// checkHistory says whether the ledger holds this root, and refuses it where a mesh
// lives on another one.
func (p *Imported) checkHistory(ctx context.Context, cert *x509.Certificate) (held bool, err error) {
	roots, err := p.cfg.Ledger.Roots(ctx)
	if err != nil {
		return false, fmt.Errorf("reading the roots of the ledger: %w", err)
	}
	print, now := ca.Fingerprint(cert), time.Now()
	for _, e := range roots {
		if e.Certificate != print && now.Before(e.NotAfter) {
			return false, fmt.Errorf("%w: the ledger shows the live root %q (%s), to import is %q: start without --root imported, or with a new data folder",
				ErrOtherRoot, e.Subject, e.Certificate, cert.Subject)
		}
		held = held || e.Certificate == print
	}
	return held, nil
}

// Make implements [rotation.Place]: it refuses.
func (p *Imported) Make(context.Context, string) (rotation.Root, error) {
	return nil, errors.New("a CA is imported as the first root only: rotate with `--via builtin` or `--via vault`")
}

// Open implements [rotation.Place]. A CA that has expired can be opened: it signs
// nothing any more.
func (p *Imported) Open(_ context.Context, name string, chain []*x509.Certificate) (rotation.Root, error) {
	if name != importedName || len(chain) == 0 {
		return nil, fmt.Errorf("opening root %q: that is no imported CA", name)
	}
	key, err := p.cfg.Keys.ReadKey(keyName(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening the imported CA %q: its key %s is gone: restore the key folder from a backup", chain[0].Subject, keyName(name))
	}
	if err != nil {
		return nil, fmt.Errorf("opening the imported CA %q: reading its key: %w", chain[0].Subject, err)
	}
	if !samePublicKey(chain[0], key) {
		return nil, fmt.Errorf("opening the imported CA %q: key %s is another's: restore the key folder from a backup", chain[0].Subject, keyName(name))
	}
	return &root{key: key, chain: chain}, nil
}

// Healthy implements [rotation.Place]: the key is at hand.
func (p *Imported) Healthy(name string) error {
	if name == "" {
		return nil // none is made here
	}
	return healthy(p.cfg.Keys, keyName(name))
}
