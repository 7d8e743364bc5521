package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// replaceFile puts text at path in one step, so that a reader sees the old or the
// new one, with mode 0600. A file that exists keeps its owner: the agent's user.
func replaceFile(path, text string) error {
	return replaceBy(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// replaceBy is replaceFile for what is too large to hold. When write fails, e.g.
// because it was interrupted, what was at path stays and nothing is left beside it.
func replaceBy(path string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".ensign-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := keepOwner(file, path); err != nil {
		return errors.Join(err, file.Close())
	}
	buffer := bufio.NewWriterSize(file, 1<<16)
	if err := write(buffer); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := errors.Join(buffer.Flush(), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// keepOwner gives file the owner of the file at path that it will replace.
func keepOwner(file *os.File, path string) error {
	old, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	owner, ok := old.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}
