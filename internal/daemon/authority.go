package daemon

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/keystore"
	"github.com/ensign-mesh/ensign/ca/keystore/kms"
	"github.com/ensign-mesh/ensign/ca/ledger"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/ca/server"
	"github.com/ensign-mesh/ensign/ca/upstream/vault"
	"github.com/ensign-mesh/ensign/identity"
	"github.com/ensign-mesh/ensign/identity/clientcert"
	"github.com/ensign-mesh/ensign/identity/satoken"
)

// authority is the CA and all that it keeps in the data folder.
type authority struct {
	keys     *keystore.Store
	rootKeys *kms.Store
	ledger   *ledger.Ledger
	reports  *report.Store
	register *revocation.Register
	crls     *revocation.CRLs
	roots    *rotation.Manager
	vault    *vault.Place // nil if nobody said where that is
	issuing  *ca.Service
	metrics  *server.Metrics
}

// openAuthority opens the data folder, or makes it. The order matters: the
// ledger before the root, so that the root's birth is recorded; who is cut off
// before the CA, so that nobody gets an SVID who is.
// everybody names those who do not have a revision of the CRLs yet.
func openAuthority(ctx context.Context, c config, everybody func(crlRevision uint64) []string, log *slog.Logger, reg prometheus.Registerer) (_ *authority, err error) {
	a := &authority{metrics: server.NewMetrics(reg)}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	if err := claimFolder(c.data); err != nil {
		return nil, err
	}
	if a.keys, err = keystore.Open(filepath.Join(c.data, "keys"), c.kek); err != nil {
		return nil, fmt.Errorf("opening the key store: %w", err)
	}
	if a.ledger, err = ledger.Open(ctx, ledger.Config{
		Path: filepath.Join(c.data, "ledger.db"), Origin: "ensign/" + c.domain.Name() + "/ledger",
		Keys: a.keys, Logger: log, Registerer: reg,
	}); err != nil {
		return nil, err
	}
	if a.reports, err = report.Open(ctx, report.Config{Path: filepath.Join(c.data, "reports.db")}); err != nil {
		return nil, err
	}
	if a.register, err = revocation.Open(ctx, revocation.Config{
		TrustDomain: c.domain, Ledger: a.ledger, TokenLife: satoken.MaxTTL, Logger: log, Registerer: reg,
	}); err != nil {
		return nil, err
	}
	if err := a.openRoots(ctx, c, log, reg); err != nil {
		return nil, fmt.Errorf("opening the root: %w", err)
	}
	if err := a.openCA(ctx, c, log); err != nil {
		return nil, err
	}
	if a.crls, err = revocation.OpenCRLs(ctx, revocation.CRLConfig{
		Dir: filepath.Join(c.data, "crls"), Register: a.register, Ledger: a.ledger, Signer: a.issuing,
		Everybody: everybody, Logger: log, Registerer: reg,
	}); err != nil {
		return nil, err
	}
	a.registerMetrics(reg)
	return a, nil
}

// openCA opens the CA under the root.
func (a *authority) openCA(ctx context.Context, c config, log *slog.Logger) (err error) {
	a.issuing, err = ca.New(ctx, ca.Config{
		TrustDomain: c.domain, Profile: c.profile, Upstream: a.roots, Ledger: a.ledger,
		Issuers: a.keys, LiveIssuers: a.ledger.LiveIssuers,
		Remote: a.roots.Remote,
		Admit:  a.register.Admit, Revoked: a.register.RevokedIssuer, RevokedKey: a.register.RevokedKey,
		// The CA introduces nobody before run, when there are CRLs.
		Introduce: func(ctx context.Context, issuer *x509.Certificate) error { return a.crls.Introduce(ctx, issuer) },
		Observe:   a.metrics.ObserveStage, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("starting the CA: %w", err)
	}
	return nil
}

// claimFolder makes the data folder, or refuses one that others may write to:
// they could replace the bundle that agents trust, or the admin socket.
func claimFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at the data folder: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others may write to the data folder %s (mode %04o): run `chmod go-w %s`", path, info.Mode().Perm(), path)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("the data folder %s belongs to uid %d, ensignd runs as %d: run it as its owner, or chown the folder", path, owner.Uid, os.Geteuid())
	}
	return nil
}

// tokenKey signs the tokens of `ensign token create`.
func (a *authority) tokenKey() (*ecdsa.PrivateKey, error) {
	key, err := a.keys.EnsureKey("token", func() (crypto.Signer, error) {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	})
	if err != nil {
		return nil, fmt.Errorf("loading the token key: %w", err)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("loading the token key: it is %T, want ECDSA", key)
	}
	return private, nil
}

// binding says what an SVID was issued for. A serial that this ledger does not
// hold (it may be an older copy) is bound to nothing, so its bearer must begin again.
func (a *authority) binding(ctx context.Context, serial string) (clientcert.Bound, error) {
	entry, err := a.ledger.BySerial(ctx, serial)
	if errors.Is(err, ledger.ErrNotFound) {
		return clientcert.Bound{}, fmt.Errorf("%w: no SVID of serial %s was issued here: renew with a token", identity.ErrUnrecorded, serial)
	}
	if err != nil {
		return clientcert.Bound{}, err
	}
	return clientcert.Bound{Certificate: entry.Certificate, AccountUID: entry.AccountUID, Pod: entry.Pod, PodUID: entry.PodUID, TokenAt: entry.TokenAt}, nil
}

// run keeps all of it up to date until ctx ends.
func (a *authority) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.issuing.Run(ctx) })
	group.Go(func() error { return a.register.Run(ctx) })
	group.Go(func() error { return a.crls.Run(ctx) })
	group.Go(func() error { return a.runVault(ctx) })
	group.Go(func() error { return a.rootKeys.Run(ctx) })
	if err := group.Wait(); ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	return nil
}

func (a *authority) close() error {
	var errs []error
	if a.rootKeys != nil {
		errs = append(errs, a.rootKeys.Close())
	}
	if a.reports != nil {
		errs = append(errs, a.reports.Close())
	}
	if a.ledger != nil {
		errs = append(errs, a.ledger.Close())
	}
	return errors.Join(errs...)
}
