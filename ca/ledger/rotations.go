package ledger

import (
	"context"

	"github.com/ensign-mesh/ensign/ca"
)

const rotations = `SELECT idx, data FROM entries INDEXED BY entries_kind WHERE kind = 'rotation' ORDER BY idx`

// Rotations are all steps that rotations of the root ever took, oldest first.
func (l *Ledger) Rotations(ctx context.Context) ([]ca.Recorded, error) {
	return l.recorded(ctx, "finding rotations of the root", rotations)
}
