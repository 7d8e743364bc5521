package daemon

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"

	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/ca/rotation"
	"github.com/ensign-mesh/ensign/internal/agents"
)

// followers are all who have to follow a rotation of the root: those who hold SVIDs,
// and this process itself. It implements rotation.Mesh.
type followers struct {
	world     *world
	census    *census
	testimony *testimony
	registry  interface {
		Connected() (map[string]agents.Agent, <-chan struct{})
	}
	register interface {
		Current() (*revocation.List, <-chan struct{})
		Do(ctx context.Context, actor string, v revocation.Verb, t revocation.Target, reason string) (revocation.Act, *revocation.List, error)
	}
	// issuing and shown live on a root of before until they settle.
	issuing interface {
		Settle(ctx context.Context) error
	}
	shown interface {
		settle(ctx context.Context, root *x509.Certificate) error
	}
	signing func() *x509.Certificate
	// prune removes what the store keeps of pods that are gone.
	prune func(ctx context.Context, gone func(namespace, pod string) bool) (removed int, err error)
	log   *slog.Logger
}

func newFollowers(ctx context.Context, a *authority, n nodes, registry *agents.Registry, shown *serverIdentity, log *slog.Logger) (*followers, error) {
	said, err := newTestimony(ctx, a.reports)
	if err != nil {
		return nil, err
	}
	return &followers{
		world: n.world, census: n.census, testimony: said, registry: registry, register: a.register,
		issuing: a.issuing, shown: shown, signing: a.roots.Signing, prune: a.reports.Prune, log: log,
	}, nil
}

// Instances implements rotation.Mesh. The channel tells of agents' words: whatever else
// lets a gate pass, which is time and revocation, is seen when somebody looks.
func (f *followers) Instances(ctx context.Context) ([]rotation.Instance, <-chan struct{}, error) {
	snapshot := f.world.Snapshot()
	if snapshot == nil {
		return nil, nil, errNotReady
	}
	connected, changed := f.registry.Connected()
	list, _ := f.register.Current()
	f.census.mu.Lock()
	defer f.census.mu.Unlock()
	now := time.Now()
	if err := f.refresh(ctx, now); err != nil {
		return nil, nil, err
	}
	f.testimony.mu.RLock()
	defer f.testimony.mu.RUnlock()
	s := scene{
		now: now, snapshot: snapshot, svids: f.census.svids, pods: f.census.pods, root: f.census.roots(), list: list,
		reports: f.testimony.reports, acks: f.testimony.acks, agents: connected,
	}
	return s.instances(), changed, nil
}

// refresh brings the census up to now, and drops what nobody needs any more; census.mu
// is held.
func (f *followers) refresh(ctx context.Context, now time.Time) error {
	if err := f.census.catchUp(ctx, now); err != nil {
		return fmt.Errorf("reading who holds SVIDs: %w", err)
	}
	if needed := f.census.prune(now); needed != nil {
		f.testimony.forget(needed)
	}
	return nil
}

// Settle implements rotation.Mesh.
func (f *followers) Settle(ctx context.Context) error {
	if err := f.issuing.Settle(ctx); err != nil {
		return err
	}
	return f.shown.settle(ctx, f.signing())
}

// RevokeIssuers implements rotation.Mesh.
func (f *followers) RevokeIssuers(ctx context.Context, root, reason string) error {
	issuers, err := f.census.ledger.LiveIssuers(ctx, time.Now())
	if err != nil {
		return fmt.Errorf("finding the issuers of root %s: %w", root, err)
	}
	list, _ := f.register.Current()
	revoked := map[string]bool{}
	for _, i := range list.Issuers {
		revoked[i.Serial] = true
	}
	for _, issuer := range issuers {
		e := issuer.Entry
		if revoked[e.Serial] || f.census.rootOf(e.IssuerSubject, e.IssuerSerial) != root {
			continue
		}
		target := revocation.Target{Kind: revocation.IssuerSerial, Value: e.Serial}
		if _, _, err := f.register.Do(ctx, actorItself, revocation.Revoke, target, reason); err != nil {
			return fmt.Errorf("revoking issuer %s: %w", e.Serial, err)
		}
	}
	return nil
}

// actorItself is who acts where no person does.
const actorItself = "ensignd"
