package connections

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// descriptors ends connections of one process through copies of its file
// descriptors. It needs the rights of a debugger: the same user, and no seccomp
// profile or Yama setting that forbids pidfd_getfd.
type descriptors struct {
	pid   int
	pidfd int
}

func openDescriptors(pid int) (*descriptors, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("opening process %d: %w", pid, err)
	}
	return &descriptors{pid: pid, pidfd: pidfd}, nil
}

func (d *descriptors) close() error { return unix.Close(d.pidfd) }

// probe copies one descriptor, no socket, which a process that was just started does
// not have yet, and lets go of it. The kernel looks at the right before it looks for
// the descriptor.
func (d *descriptors) probe() error {
	copied, tried := unix.PidfdGetfd(d.pidfd, 0, 0)
	if tried == nil {
		unix.Close(copied)
	} else if errors.Is(tried, unix.EBADF) {
		tried = nil
	}
	err := d.each(func(int, string) bool { return false })
	if err = errors.Join(err, tried); err != nil {
		return fmt.Errorf("copying a descriptor of process %d: %w", d.pid, err)
	}
	return nil
}

func (d *descriptors) end(victims []socket) []error {
	errs := make([]error, len(victims))
	wanted := make(map[string]int, len(victims))
	for i, s := range victims {
		wanted["socket:["+strconv.FormatUint(uint64(s.inode), 10)+"]"] = i
	}
	err := d.each(func(fd int, target string) bool {
		if i, ok := wanted[target]; ok {
			errs[i] = d.shut(fd, victims[i].cookie)
			delete(wanted, target)
		}
		return len(wanted) > 0
	})
	for i := range errs {
		errs[i] = errors.Join(errs[i], err)
	}
	return errs
}

// shut shuts a connection down if the descriptor is still that of the socket.
func (d *descriptors) shut(fd int, cookie uint64) error {
	copied, err := unix.PidfdGetfd(d.pidfd, fd, 0)
	if errors.Is(err, unix.EBADF) {
		return nil // closed by now
	}
	if err != nil {
		return fmt.Errorf("copying a socket of process %d: %w", d.pid, err)
	}
	defer unix.Close(copied)
	if is, err := unix.GetsockoptUint64(copied, unix.SOL_SOCKET, unix.SO_COOKIE); err != nil || is != cookie {
		return nil // the number is another socket's by now
	}
	if err := unix.Shutdown(copied, unix.SHUT_RDWR); err != nil && !errors.Is(err, unix.ENOTCONN) {
		return fmt.Errorf("shutting a socket of process %d down: %w", d.pid, err)
	}
	return nil
}

// each calls visit with every descriptor and what it leads to, until that says no.
func (d *descriptors) each(visit func(fd int, target string) bool) error {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", d.pid))
	if err != nil {
		return fmt.Errorf("listing descriptors: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("listing descriptors: %w", err)
	}
	var target [64]byte // longer ones are files' paths
	at := int(dir.Fd())
	for _, name := range names {
		n, err := unix.Readlinkat(at, name, target[:])
		fd, odd := strconv.Atoi(name)
		if err != nil || odd != nil || !bytes.HasPrefix(target[:n], []byte("socket:")) {
			continue
		}
		if !visit(fd, string(target[:n])) {
			break
		}
	}
	return nil
}
