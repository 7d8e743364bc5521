package peercred

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Listen makes a Unix socket of mode 0600 at path. A socket file that nobody
// answers on any more is replaced; a live one is an error.
func Listen(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The socket is born inside a folder that only we may enter and moved to its
	// place with its final mode, so that there is no moment with a wider one.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".socket-")
	if err != nil {
		return nil, fmt.Errorf("making socket %s: %w", path, err)
	}
	defer os.RemoveAll(dir)
	born := filepath.Join(dir, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: born, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(born, 0o600), os.Rename(born, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("placing socket %s: %w", path, err), listener.Close())
	}
	return &placed{UnixListener: listener, path: path}, nil
}

// placed removes the socket from the place that it was moved to.
type placed struct {
	*net.UnixListener
	path string
}

func (p *placed) Close() error {
	err := p.UnixListener.Close()
	if gone := os.Remove(p.path); err == nil && !errors.Is(gone, os.ErrNotExist) {
		err = gone
	}
	return err
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket: move it away", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("another process answers on %s: stop it first", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("probing %s: %w", path, err)
	}
	return os.Remove(path)
}
