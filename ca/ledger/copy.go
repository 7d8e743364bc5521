package ledger

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/note"

	"github.com/ensign-mesh/ensign/ca/ledger/export"
)

// NextCheckpoint is for who copies the log run by run: the size and the note of
// the first signed checkpoint that covers some hundred entries behind from, or
// size itself with no note if there is none below it.
func (l *Ledger) NextCheckpoint(ctx context.Context, from, size uint64) (until uint64, note string, err error) {
	return l.nextCheckpoint(ctx, from, size)
}

// NewExport begins a file of the form that [Ledger.Export] writes, for who has the
// entries from elsewhere. The log's origin is the name of its verifier key.
func NewExport(w io.Writer, verifierKey string) (*export.Writer, error) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return nil, fmt.Errorf("reading the verifier key: %w", err)
	}
	return export.NewWriter(w, export.Header{Origin: verifier.Name(), VerifierKey: verifierKey})
}
