package upstream

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

// keyName is the root key's name in the key store.
const keyName = "root"

// KeyStore keeps the root's private key.
type KeyStore interface {
	// ReadKey returns an error that wraps fs.ErrNotExist if there is no such key.
	ReadKey(name string) (crypto.Signer, error)
	// EnsureKey reads a key, or makes and keeps it, durably, if there is none.
	EnsureKey(name string, generate func() (crypto.Signer, error)) (crypto.Signer, error)
}

// Ledger takes the root's entry, and remembers it.
type Ledger interface {
	ca.Ledger
	// Roots are the entries of all roots that were ever recorded.
	Roots(ctx context.Context) ([]ca.Entry, error)
}

// Config is what the built-in root needs; all fields but Logger are required.
type Config struct {
	// Dir is the data folder, which exists.
	Dir         string
	TrustDomain spiffeid.TrustDomain
	Keys        KeyStore
	// Ledger gets an entry when the root is made, and must hold it ever after.
	Ledger Ledger
	// Logger hears of a root that is made. Nil is silence.
	Logger *slog.Logger
}

// Builtin is the root that is built in. It implements [ca.Upstream] and is safe
// for concurrent use.
type Builtin struct {
	key    crypto.Signer
	cert   *x509.Certificate
	bundle ca.Bundle
}

// OpenBuiltin loads the root of a data folder, or makes it at the first start,
// and writes bundle.pem. Only one process may do so at a time; a key store that
// keeps others out of the folder, as ca/keystore does, sees to that. Errors wrap
// [ErrUnrecorded] or [ErrLost] when root and ledger tell different stories.
func OpenBuiltin(ctx context.Context, cfg Config) (*Builtin, error) {
	if cfg.Dir == "" || cfg.TrustDomain.IsZero() || cfg.Keys == nil || cfg.Ledger == nil {
		return nil, errors.New("the built-in root needs a data folder, a trust domain, a key store and a ledger")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	// Its own files only: the ledger is open already, and writes in this folder too.
	for _, path := range []string{cfg.pending(), cfg.bundleFile()} {
		if err := durable.SweepFile(path); err != nil {
			return nil, err
		}
	}
	key, cert, err := cfg.root(ctx)
	if err != nil {
		return nil, err
	}
	bundle, err := ca.NewBundle(cert)
	if err != nil {
		return nil, err
	}
	if err := writeBundle(cfg.bundleFile(), bundle); err != nil {
		return nil, err
	}
	return &Builtin{key: key, cert: cert, bundle: bundle}, nil
}

// Bundle implements [ca.Upstream].
func (b *Builtin) Bundle(context.Context) (ca.Bundle, error) { return b.bundle, nil }

// Signing implements [ca.Upstream].
func (b *Builtin) Signing() *x509.Certificate { return b.cert }

// CertifyIssuer implements [ca.Upstream]. It signs limited issuers only: of path
// length 0 and with a URI name constraint, none of which outlives the root.
func (b *Builtin) CertifyIssuer(_ context.Context, r ca.IssuerRequest) ([]*x509.Certificate, error) {
	if r.Template == nil || !r.Template.IsCA || !r.Template.MaxPathLenZero || len(r.Template.PermittedURIDomains) == 0 {
		return nil, errors.New("the root signs only issuers of path length 0 and of one trust domain")
	}
	if now := time.Now(); !now.Before(b.cert.NotAfter) {
		return nil, fmt.Errorf("root %q has expired at %s", b.cert.Subject, b.cert.NotAfter.UTC().Format(time.RFC3339))
	}
	template := *r.Template
	if template.NotAfter.After(b.cert.NotAfter) {
		template.NotAfter = b.cert.NotAfter
	}
	if template.NotBefore.Before(b.cert.NotBefore) {
		template.NotBefore = b.cert.NotBefore
	}
	cert, err := create(&template, b.cert, r.PublicKey, b.key)
	if err != nil {
		return nil, fmt.Errorf("signing issuer: %w", err)
	}
	return []*x509.Certificate{cert}, nil
}

func create(template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
