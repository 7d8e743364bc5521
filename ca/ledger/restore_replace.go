package ledger

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/ensign-mesh/ensign/ca/internal/durable"
)

// storeFiles are the files of one store. The log is first: a log without its file
// is nothing, while SQLite would play it into another file of the same name.
var storeFiles = []string{"-wal", "-shm", ""}

// replace puts the new store in the place of the present one. The mark goes first:
// from then on no older store is opened, and whatever lies half moved is refused.
func (r *restorer) replace() error {
	if note := r.done.Checkpoint; note != "" {
		if err := durable.WriteFile(r.Path+".checkpoint", []byte(note), 0o600); err != nil {
			return fmt.Errorf("writing the mark: %w", err)
		}
	}
	r.step("marked")
	aside := r.Path + ".replaced-" + time.Now().UTC().Format("20060102T150405.000000000Z")
	for _, suffix := range storeFiles {
		_, err := os.Lstat(r.Path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = durable.Rename(r.Path+suffix, aside+suffix)
		}
		if err != nil {
			return fmt.Errorf("moving the present store aside: %w", err)
		}
		r.done.Replaced = aside
		r.step("moved" + suffix)
	}
	if err := durable.Rename(r.temp, r.Path); err != nil {
		return err
	}
	r.step("replaced")
	return nil
}
