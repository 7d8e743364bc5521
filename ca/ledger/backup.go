package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/ensign-mesh/ensign/ca/ledger/export"
)

// markEntries is how many entries lie between two checkpoints inside an export.
const markEntries = 256

// Export writes the log as it is now, from an index on, in the form of package
// export: for an auditor or, from 0, as the backup that [Restore] takes. It reads
// page by page and holds up nobody. It returns the size of the log that the file's
// checkpoint is signed for. Errors wrap [ErrDamaged] and name the entry if one is
// not what was hashed; what was written by then is of no use.
func (l *Ledger) Export(ctx context.Context, w io.Writer, from uint64) (size uint64, err error) {
	head := l.head.Load()
	size = uint64(head.size)
	if from > size {
		return 0, fmt.Errorf("exporting from entry %d: the ledger ends with entry %d: %w", from, head.size-1, ErrNotFound)
	}
	out, err := export.NewWriter(w, export.Header{Origin: l.config.Origin, VerifierKey: l.signer.text, From: from})
	if err != nil {
		return 0, err
	}
	for from < size {
		until, note, err := l.nextCheckpoint(ctx, from, size)
		if err != nil {
			return 0, err
		}
		if err := l.exportRun(ctx, out, from, until); err != nil {
			return 0, err
		}
		if from = until; from < size {
			if err := out.SoFar(note); err != nil {
				return 0, err
			}
		}
	}
	return size, out.Finish(head.note)
}

func (l *Ledger) exportRun(ctx context.Context, out *export.Writer, from, until uint64) error {
	next := from
	for record, err := range l.Read(ctx, from, until-from) {
		if err != nil {
			return err
		}
		if record.Index != next {
			return damagef("entry %d is missing", next)
		}
		if err := out.Add(record.Index, record.Data); err != nil {
			return err
		}
		next++
	}
	if next != until {
		return damagef("entry %d is missing", next)
	}
	return nil
}

// nextCheckpoint is the size and the note of the first checkpoint that covers
// markEntries behind from; the log's end if there is none.
func (l *Ledger) nextCheckpoint(ctx context.Context, from, size uint64) (until uint64, note string, err error) {
	err = l.db.Reader.QueryRowContext(ctx, `SELECT size, note FROM checkpoints WHERE size >= ? AND size < ? ORDER BY size LIMIT 1`, from+markEntries, size).Scan(&until, &note)
	if errors.Is(err, sql.ErrNoRows) {
		return size, "", nil
	}
	if err != nil {
		return 0, "", fmt.Errorf("reading a checkpoint: %w", err)
	}
	return until, note, nil
}
