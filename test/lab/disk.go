package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Disk is a small disk of its own, in memory, that can be filled. It goes with the lab.
type Disk struct {
	// Dir is where it is mounted.
	Dir string
}

// mountDisk makes a folder with a disk of so many bytes, which belongs to a user.
func mountDisk(dir string, size int64, uid int) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	options := fmt.Sprintf("size=%d,mode=0700,uid=%d,gid=%d", size, uid, uid)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		return nil, fmt.Errorf("mounting a disk at %s: %w", dir, err)
	}
	return &Disk{Dir: dir}, nil
}

func (d *Disk) filler() string { return filepath.Join(d.Dir, ".filler") }

// Fill takes all room that is left, to the last page: nothing can be written that needs
// another one. What has pages can be overwritten in them.
func (d *Disk) Fill() error {
	file, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("filling a disk: %w", err)
	}
	defer file.Close()
	for step := int64(1 << 20); step >= int64(os.Getpagesize()); {
		info, err := file.Stat()
		if err != nil {
			return fmt.Errorf("filling a disk: %w", err)
		}
		switch err := unix.Fallocate(int(file.Fd()), 0, info.Size(), step); {
		case errors.Is(err, syscall.ENOSPC):
			step /= 2
		case err != nil && !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("filling a disk: %w", err)
		}
	}
	return nil
}

// Empty makes room again.
func (d *Disk) Empty() error {
	if err := os.Remove(d.filler()); err != nil {
		return fmt.Errorf("emptying a disk: %w", err)
	}
	return nil
}
