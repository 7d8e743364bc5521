package revocation

import (
	"context"
	"fmt"
	"sync"

	"github.com/ensign-mesh/ensign/identity"
)

// Admit says whether a caller may have an SVID, and keeps every act waiting until
// done is called: when the SVID is in the ledger, or will never be. Errors wrap
// [identity.ErrQuarantined], [identity.ErrRevoked], or [ErrLists] and
// [identity.ErrUnavailable] when a later try may succeed; with one done is nil. Who
// holds an admission must not ask for another, nor for [Register.Do].
func (r *Register) Admit(ctx context.Context, c identity.Caller) (done func(), err error) {
	r.gate.RLock()
	if err := r.admit(ctx, c); err != nil {
		r.gate.RUnlock()
		return nil, err
	}
	return sync.OnceFunc(r.gate.RUnlock), nil
}

func (r *Register) admit(ctx context.Context, c identity.Caller) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := r.state.Load()
	if s.stale != nil {
		return fmt.Errorf("%w: %w: %w", identity.ErrUnavailable, ErrLists, s.stale)
	}
	return s.certificate(c)
}

// Proof says whether a caller may open a stream, or keep it: asked again whenever
// [Register.Current] changes. Who is in quarantine may, so that its proxies hear of
// it. Errors wrap [identity.ErrRevoked].
func (r *Register) Proof(c identity.Caller) error { return r.state.Load().proof(c) }
