package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/revocation"
	"github.com/ensign-mesh/ensign/internal/agents"
	"github.com/ensign-mesh/ensign/xds"
)

// enforcement carries who is cut off to those who keep them out: to proxies by the
// picture, to agents by their orders, to the CA when an issuer is not to be believed.
// Each has a goroutine of its own, so that none waits for another. What was cut off
// before a restart is told before anybody is served.
type enforcement struct {
	register *revocation.Register
	crls     *revocation.CRLs
	picture  *picture
	orders   *orders
	issuing  *ca.Service
	shown    *serverIdentity
	registry *agents.Registry
	streams  *xds.Server
	log      *slog.Logger
}

// deny keeps proxies at the newest list.
func (e *enforcement) deny(ctx context.Context) error {
	return each(ctx, e.register.Current, e.picture.deny)
}

// command keeps agents at the newest list, and at the newest CRLs, which are signed a
// moment later: they are not waited for.
func (e *enforcement) command(ctx context.Context) error {
	for {
		list, listed := e.register.Current()
		set, signed := e.crls.Current()
		e.orders.tell(list, set)
		select {
		case <-listed:
		case <-signed:
		case <-ctx.Done():
			return nil
		}
	}
}

// replace makes another issuer as soon as the one in force is revoked, and has the server
// show no certificate of one that is, in force or of before; what fails is tried again by
// the CA and the server themselves.
func (e *enforcement) replace(ctx context.Context) error {
	return each(ctx, e.register.Current, func(list *revocation.List) {
		e.shown.look()
		if len(list.Issuers) == 0 || e.issuing.Healthy(time.Now()) == nil {
			return
		}
		if err := e.issuing.Settle(ctx); err != nil {
			e.log.ErrorContext(ctx, "revoked issuer not replaced yet", "error", err)
		}
	})
}

// drain ends connections of which an agent says that they are to end and that it may
// not end them itself: the proxy's filter chains are replaced, once for each list, and
// all connections on them drain.
func (e *enforcement) drain(ctx context.Context) error {
	return each(ctx, e.registry.Agents, func(all []agents.Agent) {
		list, _ := e.register.Current()
		for _, a := range all {
			if a.Obedience != nil && a.Obedience.Method == methodDrain && a.Obedience.Open > 0 {
				e.streams.Recycle(a.Name, list.Revision)
			}
		}
	})
}

// methodDrain is what agents say that may not end connections.
const methodDrain = "drain"

// each does something with a value now, and with every later one, until ctx ends. Of
// several that came meanwhile it sees the newest.
func each[T any](ctx context.Context, current func() (T, <-chan struct{}), do func(T)) error {
	for {
		value, changed := current()
		do(value)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
