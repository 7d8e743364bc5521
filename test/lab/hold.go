package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Hold is one way in which a thief uses its loot: a connection that it keeps, or
// one that it opens.
type Hold struct {
	Name string
	// Silent holds have not been used: they must not be before the thief is cut off.
	Silent bool
	// Try is nil while the thief gets what it wants.
	Try   func(context.Context) error
	close func() error
}

// Close lets go.
func (h Hold) Close() error {
	if h.close == nil {
		return nil
	}
	return h.close()
}

// Holds opens every kind of connection to a web server (port 9080) and a line echo
// (port 7000), uses each once, and keeps them. Two more are opened and left silent,
// after two of the same kind have been seen to work.
func (t *Thief) Holds(ctx context.Context, web, echo *Pod) (holds []Hold, err error) {
	defer func() {
		if err != nil {
			for _, h := range holds {
				h.Close()
			}
		}
	}()
	for version := 1; version <= 2; version++ {
		for _, silent := range []bool{false, true} {
			h, err := t.holdHTTP(ctx, web, version, silent)
			if err != nil {
				return holds, err
			}
			holds = append(holds, h)
		}
	}
	for _, silent := range []bool{false, true} {
		h, err := t.holdTCP(ctx, echo, silent)
		if err != nil {
			return holds, err
		}
		holds = append(holds, h)
	}
	// What the handshakes left behind for resumption is used if a server takes it.
	fresh := Hold{Name: "new connection, resuming a session if it can", Try: func(ctx context.Context) error {
		_, err := t.Fresh(ctx, web, 9080)
		return err
	}}
	return append(holds, fresh), fresh.Try(ctx)
}

func (t *Thief) holdHTTP(ctx context.Context, web *Pod, version int, silent bool) (Hold, error) {
	name := [...]string{1: "HTTP/1.1", 2: "HTTP/2"}[version]
	conn, err := t.HTTP(ctx, web, 9080, version)
	if err != nil {
		return Hold{}, fmt.Errorf("%s: %w", name, err)
	}
	h := Hold{Name: name + ", live", close: conn.Close, Try: func(ctx context.Context) error {
		status, err := conn.Get(ctx, "/books/1")
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d", status)
		}
		return err
	}}
	if silent {
		h.Name, h.Silent = name+", opened and silent", true
		return h, nil
	}
	return h, h.Try(ctx)
}

func (t *Thief) holdTCP(ctx context.Context, echo *Pod, silent bool) (Hold, error) {
	conn, err := t.TCP(ctx, echo, 7000)
	if err != nil {
		return Hold{}, fmt.Errorf("TCP: %w", err)
	}
	h := Hold{Name: "TCP, live", close: conn.Close, Try: func(context.Context) error { return conn.Echo() }}
	if silent {
		h.Name, h.Silent = "TCP, opened and silent", true
		return h, nil
	}
	return h, conn.Echo()
}

// Refused tries again and again until the thief gets nothing, and answers when that
// was and why.
func (h Hold) Refused(ctx context.Context) (at time.Time, why error) {
	for {
		if err := h.Try(ctx); err != nil {
			return time.Now(), err
		}
		select {
		case <-ctx.Done():
			return time.Time{}, errors.New("the thief still gets what it wants")
		case <-time.After(5 * time.Millisecond):
		}
	}
}
