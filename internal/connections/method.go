package connections

import (
	"errors"
	"fmt"
	"net"
)

// choice is how connections of one Envoy are ended.
type choice struct {
	method Method
	ender  ender // nil: not at all
	close  func() error
}

func (c choice) release() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// chooseMethod tries what this process may do, without touching anybody's
// connection. The error says why no method is open.
func chooseMethod(pid int, diag *sockDiag, unread error) (choice, error) {
	drain := choice{method: MethodDrain}
	if unread != nil {
		return drain, unread
	}
	var noCopy error
	if pid != 0 {
		var d *descriptors
		if d, noCopy = openDescriptors(pid); noCopy == nil {
			if noCopy = d.probe(); noCopy == nil {
				return choice{method: MethodPIDFD, ender: d, close: d.close}, nil
			}
			noCopy = errors.Join(noCopy, d.close())
		}
	}
	destroy := destroyer{diag}
	if err := destroy.probe(); err != nil {
		return drain, errors.Join(noCopy, err)
	}
	return choice{method: MethodDestroy, ender: destroy}, nil
}

// destroyer has the kernel destroy sockets.
type destroyer struct{ diag *sockDiag }

func (d destroyer) end(victims []socket) []error {
	errs := make([]error, len(victims))
	for i, s := range victims {
		errs[i] = d.diag.destroy(s)
	}
	return errs
}

// probe destroys a connection of our own.
func (d destroyer) probe() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("making a connection to destroy: %w", err)
	}
	defer listener.Close()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return fmt.Errorf("making a connection to destroy: %w", err)
	}
	defer conn.Close()
	ends := newPair(conn.LocalAddr().(*net.TCPAddr).AddrPort(), conn.RemoteAddr().(*net.TCPAddr).AddrPort())
	s, ok, err := d.diag.find(ends)
	if err != nil || !ok {
		return errors.Join(errors.New("our own connection is not found"), err)
	}
	return d.diag.destroy(s)
}
