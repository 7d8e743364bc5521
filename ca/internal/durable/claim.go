package durable

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// ErrClaimed: another process works in the folder.
var ErrClaimed = errors.New("in use by another process: stop that one, or give each a folder of its own")

// Claim keeps every other process out of a folder until this one ends, however
// it ends. Claiming again in the same process is fine.
func Claim(dir string) error {
	// A plain descriptor, since an os.File would be closed, and the claim lost,
	// when the garbage collector finds that nobody uses it any more.
	fd, err := syscall.Open(filepath.Join(dir, "lock"), syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("claiming folder %s: %w", dir, err)
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	err = syscall.FcntlFlock(uintptr(fd), syscall.F_SETLK, &lock)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("folder %s is %w", dir, ErrClaimed)
	}
	if err != nil {
		return fmt.Errorf("claiming folder %s: %w", dir, err)
	}
	return nil
}
