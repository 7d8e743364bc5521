package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// CopyData copies ensignd's data folder, as one could who may read the disk, and
// answers an ensignd on the copy that was not started.
func (l *Lab) CopyData(name string) (*Control, error) {
	folder := filepath.Join(l.Dir(), name)
	if err := copyData(folder, l.Control.Data); err != nil {
		return nil, fmt.Errorf("copying the data folder: %w", err)
	}
	return l.Control.Beside(folder), nil
}

// Forge copies ensignd's data folder and rewrites old to forged, of the same
// length, in every file of the copy, as one could who may write to the disk. It
// answers an ensignd on the copy that was not started.
func (l *Lab) Forge(ctx context.Context, old, forged string) (*Control, error) {
	if len(old) != len(forged) || old == "" {
		return nil, errors.New("forging: both texts must have the same length")
	}
	control, err := l.CopyData("forged")
	if err != nil {
		return nil, err
	}
	// What the database keeps in its write-ahead log is guarded by sums; a start
	// and an end move it to the main file, which is not.
	if err := control.Start(ctx); err != nil {
		return nil, err
	}
	stopping, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := control.Process().Stop(stopping); err != nil {
		return nil, err
	}
	return control, rewrite(control.Data, old, forged)
}

// rewrite changes a text in every file of a folder.
func rewrite(folder, old, forged string) error {
	changed := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := bytes.Count(data, []byte(old)); n > 0 {
			changed += n
			return os.WriteFile(path, bytes.ReplaceAll(data, []byte(old), []byte(forged)), 0o600)
		}
		return nil
	})
	if err == nil && changed == 0 {
		err = fmt.Errorf("forging: %q is nowhere in the data folder", old)
	}
	return err
}

// copyData copies regular files only: a socket is no data.
func copyData(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o700)
		case !entry.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o600)
	})
}
