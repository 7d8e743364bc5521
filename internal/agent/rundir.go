package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
)

// takeRunDir makes the folder, private if that is up to us, and locks it: two
// agents of one folder would fight over sockets and Envoy. The lock ends with the
// process, however it ends.
func takeRunDir(dir, lock string, logger *slog.Logger) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making run folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("looking at run folder: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			logger.Warn("other users may write to the run folder and could put sockets of their own there", "dir", dir, "error", err)
		}
	}
	file, err := os.OpenFile(lock, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking run folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another agent uses %s: stop it, or give another --run-dir", dir), file.Close())
	}
	return file, nil
}
