package daemon

import (
	"context"
	"fmt"

	"github.com/ensign-mesh/ensign/identity"
)

// whenLoaded asks nobody for a proof before it is known who exists: a caller that
// comes back right after a restart is told to try again, not that it is unknown.
type whenLoaded struct {
	world *world
	inner identity.Authenticator
}

// Authenticate implements identity.Authenticator.
func (a whenLoaded) Authenticate(ctx context.Context, c identity.Credentials) (identity.Caller, error) {
	if a.world.Snapshot() == nil {
		return identity.Caller{}, fmt.Errorf("%w: %w", identity.ErrUnavailable, errNotReady)
	}
	return a.inner.Authenticate(ctx, c)
}
