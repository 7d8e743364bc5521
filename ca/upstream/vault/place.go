package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// Ledger takes the first root's entry, and remembers it.
type Ledger interface {
	ca.Ledger
	// Roots are the entries of all roots that were ever recorded.
	Roots(ctx context.Context) ([]ca.Entry, error)
}

// Place is where roots live in one Vault. It implements [rotation.Place] and is
// safe for concurrent use.
type Place struct {
	cfg   Config
	daily *client
	// rotation makes roots and signs links; nil if nobody gave its credentials.
	rotation *client
}

var (
	_ rotation.Place = (*Place)(nil)
	_ rotation.First = (*Place)(nil).First
)

// New checks the configuration. It does not ask Vault yet.
func New(cfg Config) (*Place, error) {
	cfg, err := cfg.validated()
	if err != nil {
		return nil, err
	}
	if cfg.TrustDomain.IsZero() || cfg.Ledger == nil {
		return nil, errors.New("the roots in vault need a trust domain and a ledger")
	}
	metrics := newMetrics(cfg.Metrics)
	p := &Place{cfg: cfg}
	if p.daily, err = newClient(cfg, cfg.Auth, metrics); err != nil {
		return nil, err
	}
	if cfg.RotationAuth == nil {
		return p, nil
	}
	if p.rotation, err = newClient(cfg, cfg.RotationAuth, metrics.ofRotation()); err != nil {
		return nil, err
	}
	return p, nil
}

// Run keeps the daily token alive until the context ends, and returns nil then. It looks
// every half minute whether Vault is there, so that [Place.Healthy] knows. The rotation's
// credentials are used when there is a root to make, and not before.
func (p *Place) Run(ctx context.Context) error {
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(ctx)
	}()
	err := p.daily.run(ctx)
	<-watched
	return err
}

// First implements [rotation.First]: the root that Vault's configured issuer leads
// to. It is recorded in the ledger unless it is there already. An error wraps
// [ErrOtherRoot] if the ledger knows another live root.
func (p *Place) First(ctx context.Context) (string, rotation.Root, error) {
	if p.cfg.Issuer == "" {
		return "", nil, errors.New("the mesh's first root in vault is not named: give the issuer's name, as in `--vault-issuer ensign-1`")
	}
	chain, err := p.daily.chain(ctx, p.cfg.Issuer)
	if err != nil {
		return "", nil, fmt.Errorf("reading the root of vault: %w", err)
	}
	if err := checkCAs(chain, p.cfg.TrustDomain, time.Now()); err != nil {
		return "", nil, err
	}
	if err := p.record(ctx, chain[len(chain)-1]); err != nil {
		return "", nil, err
	}
	return p.cfg.Issuer, p.root(p.cfg.Issuer, chain), nil
}

// root is one of Vault's issuers, which certifies issuers or signs leaves.
func (p *Place) root(name string, chain []*x509.Certificate) rotation.Root {
	r := &root{place: p, name: name, chain: chain}
	if p.cfg.Role != "" {
		return leafRoot{r}
	}
	return r
}

// record puts the first root into the ledger.
func (p *Place) record(ctx context.Context, cert *x509.Certificate) error {
	history, err := p.cfg.Ledger.Roots(ctx)
	if err != nil {
		return fmt.Errorf("reading the roots of the ledger: %w", err)
	}
	print, now := ca.Fingerprint(cert), time.Now()
	if slices.ContainsFunc(history, func(e ca.Entry) bool { return e.Certificate == print }) {
		return nil
	}
	if i := slices.IndexFunc(history, func(e ca.Entry) bool { return now.Before(e.NotAfter) }); i >= 0 {
		return fmt.Errorf("%w: vault has %q, and the ledger shows the live root %s: begin with that one, and come to vault by `ensign ca rotate root --via vault`",
			ErrOtherRoot, cert.Subject, history[i].Certificate)
	}
	if _, err := p.cfg.Ledger.Append(ctx, ca.CertificateEntry(ca.KindRoot, cert, cert, now)); err != nil {
		return fmt.Errorf("%w: recording the root: %w", ca.ErrLedger, err)
	}
	p.cfg.Logger.InfoContext(ctx, "vault's root in force", slog.String("subject", cert.Subject.String()), slog.Time("not_after", cert.NotAfter))
	return nil
}

// Open implements [rotation.Place].
func (p *Place) Open(_ context.Context, name string, chain []*x509.Certificate) (rotation.Root, error) {
	if !issuerForm.MatchString(name) {
		return nil, fmt.Errorf("opening root %q of vault: that is no name of an issuer", name)
	}
	if err := checkClimb(chain); err != nil {
		return nil, fmt.Errorf("opening root %s of vault: %w", name, err)
	}
	if err := checkScope(chain, p.cfg.TrustDomain); err != nil {
		return nil, fmt.Errorf("opening root %s of vault: %w", name, err)
	}
	return p.root(name, chain), nil
}

// Healthy implements [rotation.Place]: what the root's last signature failed with, or the
// last look at Vault, or the last login or renewal with the daily credentials. A root to
// be made needs others.
func (p *Place) Healthy(name string) error {
	if name == "" && p.rotation == nil {
		return ErrNoRotation
	}
	return p.daily.health.problem(name, time.Now())
}

// CredentialExpires is when the daily token ends unless it is renewed; zero if there
// is none, or it has no end.
func (p *Place) CredentialExpires() time.Time { return p.daily.health.tokenEnd() }
