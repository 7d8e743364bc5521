package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

// Ledger takes the root's entry, and remembers it.
type Ledger interface {
	ca.Ledger
	// Roots are the entries of all roots that were ever recorded.
	Roots(ctx context.Context) ([]ca.Entry, error)
}

// Place is where this mesh's roots are kept; all fields are required.
type Place struct {
	// Dir is the data folder, which exists. Its bundle.pem holds the roots.
	Dir         string
	TrustDomain spiffeid.TrustDomain
	Ledger      Ledger
}

func (p Place) bundleFile() string { return filepath.Join(p.Dir, "bundle.pem") }

// Open takes the roots that this mesh trusts from bundle.pem, which needs no
// Vault. Where there are none yet, it takes Vault's root: first into the ledger,
// then into bundle.pem; a crash in between is picked up with the same root. Only
// one process may do so at a time. Errors wrap [ErrOtherRoot] if the ledger knows
// a live root and Vault has another, [ErrUnrecorded] if the ledger lacks a root
// of bundle.pem.
func Open(ctx context.Context, client *Client, p Place) (*Upstream, error) {
	if client == nil || p.Dir == "" || p.TrustDomain.IsZero() || p.Ledger == nil {
		return nil, errors.New("the root in vault needs a client, a data folder, a trust domain and a ledger")
	}
	if err := durable.SweepFile(p.bundleFile()); err != nil {
		return nil, err
	}
	history, err := p.Ledger.Roots(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the roots of the ledger: %w", err)
	}
	bundle, err := p.kept(history)
	if errors.Is(err, fs.ErrNotExist) {
		bundle, err = p.adopt(ctx, client, history)
	} else if err == nil {
		client.compare(ctx, bundle)
	}
	if err != nil {
		return nil, err
	}
	return &Upstream{client: client, td: p.TrustDomain, bundle: bundle}, nil
}

// compare warns at once of what the next issuer would fail at. It is no error:
// one that was kept can go on.
func (c *Client) compare(ctx context.Context, bundle ca.Bundle) {
	chain, err := c.issuerChain(ctx)
	if err == nil && !slices.ContainsFunc(bundle.Roots(), chain[len(chain)-1].Equal) {
		err = otherRoot(chain[len(chain)-1].Subject, bundle)
	}
	if err != nil && ctx.Err() == nil {
		c.cfg.Logger.ErrorContext(ctx, "vault cannot certify the next issuer", slog.Any("error", err))
	}
}

// kept is what bundle.pem holds.
func (p Place) kept(history []ca.Entry) (ca.Bundle, error) {
	text, err := os.ReadFile(p.bundleFile())
	if err != nil {
		return ca.Bundle{}, fmt.Errorf("reading the roots: %w", err)
	}
	bundle, err := ca.ParseBundle(text)
	if err != nil {
		return ca.Bundle{}, fmt.Errorf("reading %s: %w", p.bundleFile(), err)
	}
	for _, root := range bundle.Roots() {
		if !recorded(history, root) {
			return ca.Bundle{}, fmt.Errorf("%w: %q of %s: the ledger was emptied, or is another mesh's: restore both from one backup",
				ErrUnrecorded, root.Subject, p.bundleFile())
		}
	}
	return bundle, nil
}

// adopt takes Vault's root as this mesh's first.
func (p Place) adopt(ctx context.Context, client *Client, history []ca.Entry) (ca.Bundle, error) {
	chain, err := client.issuerChain(ctx)
	if err != nil {
		return ca.Bundle{}, fmt.Errorf("reading the root of vault: %w", err)
	}
	now := time.Now()
	root := chain[len(chain)-1]
	for _, c := range chain {
		if now.Before(c.NotBefore) || !now.Before(c.NotAfter) {
			return ca.Bundle{}, fmt.Errorf("%w: CA %q is valid %s to %s", ErrAnswer, c.Subject, c.NotBefore, c.NotAfter)
		}
	}
	if err := checkScope(chain, p.TrustDomain); err != nil {
		return ca.Bundle{}, err
	}
	bundle, err := ca.NewBundle(root)
	if err != nil {
		return ca.Bundle{}, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	if !recorded(history, root) {
		if i := slices.IndexFunc(history, func(e ca.Entry) bool { return now.Before(e.NotAfter) }); i >= 0 {
			return ca.Bundle{}, fmt.Errorf("%w: vault has %q, and the ledger shows the live root %s: restore %s from a backup or from an agent's trust bundle",
				ErrOtherRoot, root.Subject, history[i].Certificate, p.bundleFile())
		}
		if _, err := p.Ledger.Append(ctx, ca.CertificateEntry(ca.KindRoot, root, root, now)); err != nil {
			return ca.Bundle{}, fmt.Errorf("%w: recording the root: %w", ca.ErrLedger, err)
		}
	}
	if err := durable.WriteFile(p.bundleFile(), []byte(bundle.PEM()), 0o644); err != nil {
		return ca.Bundle{}, err
	}
	client.cfg.Logger.InfoContext(ctx, "vault's root in force", slog.String("subject", root.Subject.String()), slog.Time("not_after", root.NotAfter))
	return bundle, nil
}

func recorded(history []ca.Entry, cert *x509.Certificate) bool {
	print := ca.Fingerprint(cert)
	return slices.ContainsFunc(history, func(e ca.Entry) bool { return e.Certificate == print })
}

// issuerChain is the issuer that signs, what is above it, and the root last. Vault
// tells it without a token.
func (c *Client) issuerChain(ctx context.Context) ([]*x509.Certificate, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	answer, err := c.read(ctx, "", c.cfg.Mount+"/issuer/"+c.cfg.Issuer+"/json")
	if err != nil {
		return nil, err
	}
	return chainOf(answer.Data)
}
