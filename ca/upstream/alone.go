package upstream

import (
	"context"
	"crypto/x509"
	"path/filepath"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/internal/durable"
	"github.com/ensign-mesh/ensign/ca/rotation"
)

// Alone is the first built-in root as a [ca.Upstream], without a rotation around it.
type Alone struct {
	rotation.Root
	bundle ca.Bundle
}

// OpenBuiltin is the first root of a data folder alone. It writes bundle.pem.
func OpenBuiltin(ctx context.Context, cfg Config) (*Alone, error) {
	b, err := NewBuiltin(cfg)
	if err != nil {
		return nil, err
	}
	_, root, err := b.First(ctx)
	if err != nil {
		return nil, err
	}
	bundle, err := ca.NewBundle(root.Chain()...)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(cfg.Dir, "bundle.pem")
	if err := durable.SweepFile(file); err != nil {
		return nil, err
	}
	return &Alone{Root: root, bundle: bundle}, writeBundle(file, bundle)
}

// Bundle implements [ca.Upstream].
func (a *Alone) Bundle(context.Context) (ca.Bundle, error) { return a.bundle, nil }

// Signing implements [ca.Upstream].
func (a *Alone) Signing() *x509.Certificate { return a.bundle.Roots()[0] }
