package agent

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// writeFile replaces a file at once, with mode 0600; when it returns nil the new
// content outlives a crash and a power cut. One caller at a time may write a path.
func writeFile(path string, content []byte) error {
	if err := replaceFile(path, path+".new", content); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func replaceFile(path, unfinished string, content []byte) error {
	// Of an agent that was killed here.
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(unfinished, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(unfinished))
	}
	return syncDir(filepath.Dir(path))
}

// writeMarked is writeFile of a body behind a line that tells whole from spoilt: the
// mark and the body's SHA-256.
func writeMarked(path, mark string, body []byte) error {
	return writeFile(path, append([]byte(markLine(mark, body)), body...))
}

// readMarked is the body of a file of our own that writeMarked wrote.
func readMarked(path, mark string, limit int64) ([]byte, error) {
	content, err := readOwn(path, limit+256)
	if err != nil {
		return nil, err
	}
	body, err := unmark(mark, content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return body, nil
}

func unmark(mark string, content []byte) ([]byte, error) {
	_, body, _ := bytes.Cut(content, []byte("\n"))
	if line := markLine(mark, body); !bytes.HasPrefix(content, []byte(line)) {
		return nil, errors.New("it is not whole, or no file of ours")
	}
	return body, nil
}

func markLine(mark string, body []byte) string {
	return fmt.Sprintf("%s%x\n", mark, sha256.Sum256(body))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readOwn reads a file that an earlier agent of this folder wrote. What another
// user could have written is an error: it says who is cut off.
func readOwn(path string, limit int64) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || owner.Uid != uint32(os.Getuid()) {
		return nil, fmt.Errorf("%s is not a file of mode 0600 of this user, but %s", path, info.Mode())
	}
	return readAll(file, path, limit)
}

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file, path, limit)
}

func readAll(file io.Reader, path string, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return content, nil
}
