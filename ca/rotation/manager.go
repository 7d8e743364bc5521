package rotation

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// LinkLife is the longest life of a link: an agent that was away for longer needs the
// bundle from a person.
const LinkLife = 365 * 24 * time.Hour

// Manager keeps the roots. It implements [ca.Upstream] and is safe for concurrent use;
// one process may have one on a ledger.
type Manager struct{ cfg Config }

var errNotYet = errors.New("not built yet")

// Open reads from the ledger which roots there are, or makes the first one, and writes
// bundle.pem. It asks no place that is reached by network, but for the first root.
func Open(ctx context.Context, cfg Config) (*Manager, error) {
	cfg, err := cfg.validated()
	if err != nil {
		return nil, err
	}
	return &Manager{cfg: cfg}, errNotYet
}

// CertifyIssuer implements [ca.Upstream]: the root that signs now does it.
func (m *Manager) CertifyIssuer(ctx context.Context, r ca.IssuerRequest) ([]*x509.Certificate, error) {
	return nil, errNotYet
}

// Bundle implements [ca.Upstream].
func (m *Manager) Bundle(context.Context) (ca.Bundle, error) { return ca.Bundle{}, errNotYet }

// Signing implements [ca.Upstream]: the root (not its intermediate) that signs now.
func (m *Manager) Signing() *x509.Certificate { return nil }

// Healthy says why the next issuer could not be certified, as far as is known without
// asking anybody; nil if it could.
func (m *Manager) Healthy() error { return errNotYet }

// Place says where the root that signs now lives, and its name there.
func (m *Manager) Place() (place, name string) { return "", "" }

// Trust is what everybody is to be told now, and a channel that closes when that changes.
func (m *Manager) Trust() (*Trust, <-chan struct{}) { return nil, nil }

// RootOf is the fingerprint of the root that an issuer leads to, by its parent: the
// IssuerSubject and IssuerSerial of the issuer's own entry in the ledger. "" if no root
// that this mesh ever had is known to have signed it.
func (m *Manager) RootOf(parentSubject, parentSerial string) string { return "" }

// Run carries rotations on until ctx ends, and returns its error.
func (m *Manager) Run(ctx context.Context, mesh Mesh) error { return errNotYet }

// Status is where everything stands, and a channel that closes when that changes.
func (m *Manager) Status(ctx context.Context) (*Status, <-chan struct{}, error) {
	return nil, nil, errNotYet
}

// Begin begins a rotation. When it returns nil that is in the ledger, and [Manager.Run]
// does the rest. Errors wrap [ErrBusy] or [ErrRefused].
func (m *Manager) Begin(ctx context.Context, actor string, o Options) error { return errNotYet }

// Plan says what Begin would do, and does nothing.
func (m *Manager) Plan(ctx context.Context, o Options) (Plan, error) { return Plan{}, errNotYet }

// Pause stops the rotation that runs from taking further steps. Errors wrap [ErrNone].
func (m *Manager) Pause(ctx context.Context, actor, reason string) error { return errNotYet }

// Resume lets a paused rotation go on. Errors wrap [ErrNone].
func (m *Manager) Resume(ctx context.Context, actor, reason string) error { return errNotYet }

// Rollback turns the rotation that runs around, or begins another one back from the
// last that was completed. Errors wrap [ErrNone] or [ErrRefused].
func (m *Manager) Rollback(ctx context.Context, actor, reason string) error { return errNotYet }
