package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/ensign-mesh/ensign/ca/internal/sqlite"
)

// known is a checkpoint that the log's key has signed.
type known struct {
	torchwood.Checkpoint
	// where says who knows it, for a person.
	where string
}

func (k known) beyond(size int64) error {
	return fmt.Errorf("%w: it ends after %d entries, and a checkpoint for %d was signed (%s); take a newer backup, or export what the present store still holds",
		ErrWouldFork, size, k.N, k.where)
}

// know collects what is known to be signed.
func (r *restorer) know(ctx context.Context) error {
	for n, text := range r.Newer {
		if err := r.knowNote(text, fmt.Sprintf("newer checkpoint %d", n+1)); err != nil {
			return err
		}
	}
	mark := r.Path + ".checkpoint"
	text, err := os.ReadFile(mark)
	switch {
	case err == nil:
		if err := r.knowNote(string(text), mark); err != nil {
			return fmt.Errorf("%w; move it away to go without it", err)
		}
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("reading the ledger's mark: %w", err)
	}
	if err := r.knowStore(ctx); err != nil {
		r.done.Warnings = append(r.done.Warnings, fmt.Sprintf("the present store cannot be read, so what it held in its last second is not known: %v", err))
	}
	slices.SortFunc(r.known, func(a, b known) int { return cmp.Compare(a.N, b.N) })
	return nil
}

func (r *restorer) knowNote(text, where string) error {
	checkpoint, err := openNote(text, r.signer)
	if err != nil {
		return fmt.Errorf("reading %s: %w", where, err)
	}
	r.known = append(r.known, known{checkpoint, where})
	return nil
}

// knowStore reads the newest checkpoint of the present store that is ours, however
// damaged the rest is. Closing it folds its write-ahead log into it.
func (r *restorer) knowStore(ctx context.Context) (err error) {
	if _, err := os.Stat(r.Path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: r.Path, Schema: schema})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.Reader.QueryContext(ctx, `SELECT note FROM checkpoints ORDER BY size DESC`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if r.knowNote(text, "the present store "+r.Path) == nil {
			return nil
		}
	}
	return rows.Err()
}

// hold sees whether the backup, at the size it has now, is what was signed. That
// it is not counts only once the backup was found to be whole.
func (r *restorer) hold() error {
	for len(r.known) > 0 && r.known[0].N <= r.tree.size {
		k := r.known[0]
		root, err := tlog.TreeHash(r.tree.size, r.tree)
		if err != nil {
			return fmt.Errorf("computing the root: %w", err)
		}
		if k.Hash != root && r.forks == nil {
			r.forks = fmt.Errorf("%w: its first %d entries are not those that a checkpoint was signed for (%s)", ErrWouldFork, k.N, k.where)
		}
		r.known = r.known[1:]
	}
	return nil
}

// held is nil if the backup, now at its end, holds everything that is known to be signed.
func (r *restorer) held() error {
	if err := r.hold(); err != nil {
		return err
	}
	if r.forks == nil && len(r.known) > 0 {
		return r.known[len(r.known)-1].beyond(r.tree.size)
	}
	return r.forks
}
