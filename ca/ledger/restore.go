package ledger

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ensign-mesh/ensign/ca/internal/sqlite"
	"github.com/ensign-mesh/ensign/ca/ledger/audit"
)

// RestoreConfig says what to restore, and where.
type RestoreConfig struct {
	// Path, Origin and Keys are those of the ledger, see [Config]. Nobody may have
	// it open: an ensignd that runs holds the key store's folder, which keeps out
	// who would open the keys to call this.
	Path   string
	Origin string
	Keys   KeyStore
	// From is the backup: a file that [Ledger.Export] wrote from 0.
	From io.Reader
	// Newer are checkpoints (notes) of this log that are known to exist somewhere.
	Newer []string
	// Progress is called as the backup is read.
	Progress func(audit.Progress)

	// step is called between every two steps, by their names, so that a test can
	// kill the process there.
	step func(name string)
}

// Restored is what was restored.
type Restored struct {
	audit.Result
	// Replaced is where the store now lies that was there before; "": there was none.
	Replaced string
	// Warnings name what could not be made sure of.
	Warnings []string
}

// Restore puts a backup in the place of the ledger. The backup is verified from
// its first to its last byte, by package audit, while a new store is built beside the
// present one; only then does that take its place, and the present one is kept
// under another name. Errors wrap [ErrWouldFork] if the log's key has signed
// something that the backup does not hold, as far as PATH.checkpoint, the present
// store and Newer show; [audit.Problem] says what is wrong with the backup.
//
// A crash at any point leaves the present store, or the new one, or a ledger that
// [Open] refuses with [ErrRolledBack] until Restore is run again.
func Restore(ctx context.Context, c RestoreConfig) (Restored, error) {
	if c.step == nil {
		c.step = func(string) {}
	}
	signer, err := signerOf(c.Keys, c.Origin, func() (crypto.Signer, error) {
		return nil, errors.New("there is none: put the key store of the installation that made the backup back first")
	})
	if err != nil {
		return Restored{}, err
	}
	r := &restorer{RestoreConfig: c, signer: signer, temp: c.Path + ".restoring"}
	if err := r.know(ctx); err != nil {
		return Restored{}, err
	}
	if err := r.discard(); err != nil {
		return Restored{}, err
	}
	if err := r.run(ctx); err != nil {
		return Restored{}, errors.Join(fmt.Errorf("restoring %s: %w", c.Path, err), r.discard())
	}
	return r.done, nil
}

// restorer is one restore on its way.
type restorer struct {
	RestoreConfig
	signer *signer
	// temp is the new store until it is whole.
	temp string
	// known are the checkpoints that the backup must hold, smallest first.
	known []known
	forks error
	tree  tree
	done  Restored
}

func (r *restorer) run(ctx context.Context) error {
	var err error
	if r.done.Result, err = r.build(ctx); err != nil {
		return err
	}
	r.step("written")
	if err := r.check(ctx); err != nil {
		return fmt.Errorf("checking the new store: %w", err)
	}
	if err := r.settle(); err != nil {
		return err
	}
	r.step("built")
	return r.replace()
}

// check reads the new store as it lies on the disk, all of it.
func (r *restorer) check(ctx context.Context) (err error) {
	db, err := sqlite.Open(ctx, sqlite.Config{Path: r.temp})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	t, err := load(ctx, db.Writer, r.signer)
	if err != nil {
		return err
	}
	if t.size != r.tree.size || t.note != r.done.Checkpoint {
		return damagef("it has %d entries, the backup %d", t.size, r.tree.size)
	}
	for from := uint64(0); from < uint64(t.size); from += page {
		if _, err := readPage(ctx, db.Writer, from, page); err != nil {
			return err
		}
	}
	return nil
}

// settle sees that the new store is one whole file, on the disk.
func (r *restorer) settle() error {
	if log, err := os.Stat(r.temp + "-wal"); err == nil && log.Size() > 0 {
		return fmt.Errorf("the write-ahead log of the new store was not folded into it: %d bytes are left", log.Size())
	}
	f, err := os.Open(r.temp)
	if err != nil {
		return fmt.Errorf("syncing the new store: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("syncing the new store: %w", err)
	}
	return nil
}

// discard removes what a restore left that did not get to its end.
func (r *restorer) discard() error {
	for _, suffix := range storeFiles {
		if err := os.Remove(r.temp + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing an unfinished restore: %w", err)
		}
	}
	return nil
}
