package rotation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// Manager keeps the roots. It implements [ca.Upstream] and is safe for concurrent use;
// one process may have one on a ledger.
type Manager struct {
	cfg     Config
	metrics *metrics
	view    atomic.Pointer[view]

	// turn is held by who writes into the ledger, reads it, or publishes.
	turn   chan struct{}
	opened map[string]Root // by fingerprint; guarded by turn

	mu sync.Mutex // guards what follows
	// state is the ledger's. stale: there may be more in the ledger.
	state *state
	stale error
	moved chan struct{} // closes with the next state
	// settled is the sequence of the trust for which an issuer signs.
	settled uint64
	mesh    Mesh
	started time.Time
	look    *look
	problem string
	news    chan struct{} // closes when Status says something else
}

// view is what is told: the state as far as it was published. It is immutable.
type view struct {
	state   *state
	settled bool
	anchor  *anchor // the root that signs
	signer  Root
	trust   *Trust
	told    time.Time     // when trust was first told by this process
	changed chan struct{} // closes when trust changes
	parents map[string]string
}

// Open reads from the ledger which roots there are, or makes the first one, and writes
// bundle.pem. It asks no place that is reached by network, but for the first root.
// Errors wrap [ErrForgotten] if bundle.pem knows more than the ledger.
func Open(ctx context.Context, cfg Config) (*Manager, error) {
	cfg, err := cfg.validated()
	if err != nil {
		return nil, err
	}
	m := &Manager{
		cfg: cfg, turn: make(chan struct{}, 1), opened: map[string]Root{},
		state: &state{}, moved: make(chan struct{}), news: make(chan struct{}),
	}
	if m.metrics, err = newMetrics(cfg.Registerer, m.Healthy); err != nil {
		return nil, err
	}
	if err := m.open(ctx); err != nil {
		return nil, fmt.Errorf("opening the roots: %w", err)
	}
	return m, nil
}

func (m *Manager) open(ctx context.Context) error {
	if err := sweepBundle(m.cfg.Dir); err != nil {
		return err
	}
	s, err := m.read(ctx)
	if err != nil {
		return err
	}
	if len(s.roots) > 0 {
		if err := checkBundle(m.cfg.Dir, s); err != nil {
			return err
		}
		m.take(s)
		m.warnOfFlags(ctx, s)
		return m.publish(ctx)
	}
	return m.adopt(ctx)
}

// adopt takes the first root.
func (m *Manager) adopt(ctx context.Context) error {
	name, root, err := m.cfg.First(ctx)
	if err != nil {
		return fmt.Errorf("finding the first root in %s: %w", m.cfg.FirstPlace, err)
	}
	a, err := refOf(m.cfg.FirstPlace, name, root.Chain()).anchor()
	if err != nil {
		return err
	}
	if held, err := m.recorded(ctx, a); err != nil || !held {
		return errors.Join(fmt.Errorf("the ledger does not hold the first root %s", a), err)
	}
	if err := checkBundle(m.cfg.Dir, &state{roots: []*anchor{a}}); err != nil {
		return err
	}
	m.opened[a.fingerprint] = root
	return m.do(ctx, func(s *state) ([]record, error) {
		if len(s.roots) > 0 {
			return nil, fmt.Errorf("%w: another process adopts a root in this ledger", ErrBusy)
		}
		return []record{{verb: adopt, actor: ensignd, detail: detail{Root: a.ref()}}}, nil
	})
}

// warnOfFlags: where the first root comes from is asked at the first start only.
func (m *Manager) warnOfFlags(ctx context.Context, s *state) {
	for _, a := range s.roots {
		if a.place == m.cfg.FirstPlace {
			return
		}
	}
	m.cfg.Logger.WarnContext(ctx, "the root lives elsewhere than was asked for: that counts at the first start only, rotate it there",
		"asked", m.cfg.FirstPlace, "place", s.signing().place)
}

// CertifyIssuer implements [ca.Upstream]: the root that signs now does it.
func (m *Manager) CertifyIssuer(ctx context.Context, r ca.IssuerRequest) ([]*x509.Certificate, error) {
	v := m.view.Load()
	chain, err := v.signer.CertifyIssuer(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("root %s: %w", v.anchor, err)
	}
	if len(chain) == 0 || chain[len(chain)-1].CheckSignatureFrom(v.anchor.root()) != nil {
		return nil, fmt.Errorf("%s returned an issuer that does not lead to root %s", v.anchor.place, v.anchor)
	}
	return chain, nil
}

// Bundle implements [ca.Upstream].
func (m *Manager) Bundle(context.Context) (ca.Bundle, error) { return m.view.Load().trust.Bundle, nil }

// Signing implements [ca.Upstream]: the root (not a CA below it) that signs now.
func (m *Manager) Signing() *x509.Certificate { return m.view.Load().anchor.root() }

// Remote is the root that signs now if it signs leaves itself, see [ca.Config]; nil if it
// certifies issuers.
func (m *Manager) Remote() ca.Remote {
	remote, _ := m.view.Load().signer.(ca.Remote)
	return remote
}

// Healthy says why the next issuer could not be certified, as far as is known without
// asking anybody; nil if it could.
func (m *Manager) Healthy() error {
	v := m.view.Load()
	if v == nil {
		return nil // of metrics while it opens
	}
	a := v.anchor
	if a.expired(time.Now()) {
		return fmt.Errorf("root %s has expired at %s", a, clock(a.notAfter()))
	}
	return m.ailing(a)
}

// Place says where the root that signs now lives, and its name there.
func (m *Manager) Place() (place, name string) {
	a := m.view.Load().anchor
	return a.place, a.name
}

// Trust is what everybody is to be told now, and a channel that closes when that changes.
func (m *Manager) Trust() (*Trust, <-chan struct{}) {
	v := m.view.Load()
	return v.trust, v.changed
}

// RootOf is the fingerprint of the root that an issuer leads to, by its parent: the
// IssuerSubject and IssuerSerial of the issuer's own entry in the ledger. "" if no root
// that this mesh ever had is known to have signed it.
func (m *Manager) RootOf(parentSubject, parentSerial string) string {
	return m.view.Load().parents[parentSubject+"\x00"+parentSerial]
}

// parents are the CAs of all roots by subject and serial. One that two roots share is none's.
func (s *state) parents() map[string]string {
	found := map[string]string{}
	for _, a := range s.roots {
		for _, c := range a.chain {
			key := c.Subject.String() + "\x00" + c.SerialNumber.Text(16)
			if root, ok := found[key]; ok && root != a.fingerprint {
				found[key] = ""
				continue
			}
			found[key] = a.fingerprint
		}
	}
	return found
}
