package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// tempMark is in the name of every file that is not finished.
const tempMark = ".unfinished-"

// WriteFile replaces the file at path by data with the given permissions. When
// it returns nil, both the bytes and the name are on stable storage.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return err
	}
	return commit(temp, path)
}

// writeTemp puts the bytes beside the target, synced. The target is untouched.
func writeTemp(path string, data []byte, perm fs.FileMode) (string, error) {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+tempMark+rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("%w: its disk is full: make room there", err)
		}
		return "", errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(temp))
	}
	return temp, nil
}

// commit gives the finished bytes their name.
func commit(temp, path string) error {
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(temp))
	}
	return SyncDir(filepath.Dir(path))
}

// Rename moves a finished file to another name of the same folder, durably.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("renaming %s: %w", from, err)
	}
	return SyncDir(filepath.Dir(to))
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing folder %s: %w", dir, err)
	}
	return nil
}

// Sweep removes what crashed writers left in a folder. Nobody may be writing there.
func Sweep(dir string) error { return sweep(dir, ".") }

// SweepFile removes what crashed writers of one file left beside it. Nobody may
// be writing that file; others of the folder are left alone.
func SweepFile(path string) error {
	return sweep(filepath.Dir(path), "."+filepath.Base(path)+tempMark)
}

func sweep(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweeping folder: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) || !strings.Contains(e.Name(), tempMark) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("sweeping folder: %w", err)
		}
	}
	return nil
}
