package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/ncruces/go-sqlite3"
)

// fault are the codes of a disk that does not do as it should. SQLite does not say what
// ails it.
var fault = []error{sqlite3.FULL, sqlite3.IOERR, sqlite3.READONLY, sqlite3.CANTOPEN}

// scarce is how little room counts as none: SQLite writes some pages more than it is given.
const scarce = 1 << 20

// Unwritten says of an attempt to write that failed what a person can do about it, where
// the disk is at fault. Whoever asks tries again by himself.
func (db *DB) Unwritten(err error) error {
	if !faulty(err) {
		return err
	}
	return fmt.Errorf("%w: %s, and writing goes on by itself", err, db.cure())
}

// unopened says the same of an attempt to open it, which nobody repeats but who starts the
// process again.
func (db *DB) unopened(err error) error {
	if !faulty(err) {
		return err
	}
	return fmt.Errorf("%w: %s, and start again", err, db.cure())
}

func faulty(err error) bool {
	return slices.ContainsFunc(fault, func(code error) bool { return errors.Is(err, code) })
}

// cure is what a person can do about the disk.
func (db *DB) cure() string {
	dir := filepath.Dir(db.path)
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err == nil && (disk.Files > 0 && disk.Ffree == 0 || disk.Bavail*uint64(disk.Bsize) < scarce) {
		return fmt.Sprintf("the disk of %s is full: make room there", dir)
	}
	return fmt.Sprintf("see what ails the disk of %s", dir)
}
