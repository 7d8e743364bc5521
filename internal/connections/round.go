package connections

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// recheck is after how long a connection that is still open is tried again.
	recheck = 100 * time.Millisecond
	// recheckEach is by how much later for each that is open, so that looking takes
	// a part of the time only.
	recheckEach = 100 * time.Microsecond
	// maxError is the longest State.Error, in bytes.
	maxError = 1 << 10
)

// Run ends connections until ctx does.
func (t *Table) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			t.mu.Lock()
			defer t.mu.Unlock()
			return t.choice.release()
		case <-t.wake:
		case <-timer.C:
		}
		if next := t.round(); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// round ends what is to end, forgets what is over and tells how far that is. It
// says when the next one is due; never, if zero, unless something happens.
func (t *Table) round() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chooseOnce()
	t.trouble = nil
	t.end(t.victims(time.Now()))
	now := time.Now()
	if now.Sub(t.swept) >= Period {
		t.sweep(now)
	}
	t.tell(now)
	return t.next(now)
}

// chooseOnce finds out how connections of the present Envoy are ended.
func (t *Table) chooseOnce() {
	if t.chosen || (t.pid == 0 && !t.heard) {
		return
	}
	t.chosen = true
	if err := t.choice.release(); err != nil {
		t.logger.Warn("letting go of the last envoy", "error", err)
	}
	var err error
	t.choice, err = t.choose(t.pid)
	if err != nil {
		t.logger.Warn("connections of peers that are cut off cannot be ended here: the control plane drains them", "error", err)
		return
	}
	t.logger.Info("connections of peers that are cut off can be ended", "method", t.choice.method)
}

// victims are the connections to be ended now. One whose record just came waits
// until a newer connection that has its addresses would have been told of.
func (t *Table) victims(now time.Time) map[*connection]socket {
	found := map[*connection]socket{}
	for c := range t.cutting {
		if now.Sub(c.since) < settle {
			continue
		}
		s, open, err := t.look(c)
		switch {
		case err != nil:
			t.trouble = err
		case open:
			c.tried = true
			found[c] = s
		default:
			t.remove(c)
		}
	}
	return found
}

// look finds the socket of a connection; false if it is over.
func (t *Table) look(c *connection) (socket, bool, error) {
	s, ok, err := t.sockets.find(c.pair)
	return s, ok && s.open && s.cookie == c.cookie, err
}

// end ends connections, without the lock as that may take its time.
func (t *Table) end(victims map[*connection]socket) {
	if len(victims) == 0 || t.choice.ender == nil {
		return
	}
	connections, open := make([]*connection, 0, len(victims)), make([]socket, 0, len(victims))
	for c, s := range victims {
		connections, open = append(connections, c), append(open, s)
	}
	ender := t.choice.ender
	t.mu.Unlock()
	errs := ender.end(open)
	t.mu.Lock()
	for i, c := range connections {
		_, still, err := t.look(c)
		switch {
		case err != nil || errs[i] != nil:
			t.trouble = errors.Join(errs[i], err)
		case still:
			t.trouble = fmt.Errorf("a connection with %s goes on though it was ended", c.remote)
		default:
			t.logger.Info("ended a connection of a peer that is cut off", "peer", c.peer.uri, "remote", c.remote, "inbound", c.peer.inbound)
			t.remove(c)
		}
	}
}

// sweep forgets what is over without a word of Envoy's.
func (t *Table) sweep(now time.Time) {
	t.swept = now
	if len(t.connections) > 0 {
		live, err := t.sockets.live()
		if err != nil {
			t.trouble = err
			return
		}
		for _, c := range t.connections {
			// The list may skip one while others end, so that it is asked for by name.
			if !has(live, c.cookie) {
				if _, open, err := t.look(c); err == nil && !open {
					t.remove(c)
				}
			}
		}
	}
	t.forgetPeers(now)
	t.metrics.connections.Set(float64(len(t.connections)))
}

// tell brings the state up to date.
func (t *Table) tell(now time.Time) {
	state := t.state
	state.Open, state.Cut = len(t.cutting), t.ended
	if state.Method = t.choice.method; !t.chosen {
		state.Method = MethodNone
	}
	known := !now.Before(t.complete())
	if known {
		t.gap = time.Time{}
	}
	if known && !now.Before(t.applied.Add(t.patience)) {
		state.Revision = t.ordered
	}
	var reasons []string
	if !known && t.ordered > 0 {
		reasons = append(reasons, fmt.Sprintf("the table may lack connections %s, for %s", t.lost, Period+slack))
	}
	if t.trouble != nil {
		reasons = append(reasons, t.trouble.Error())
	}
	state.Error = strings.Join(reasons, "; ")
	state.Error = strings.ToValidUTF8(state.Error[:min(len(state.Error), maxError)], "")
	t.metrics.open.Set(float64(state.Open))
	if state != t.state {
		t.state = state
		close(t.changed)
		t.changed = make(chan struct{})
	}
}

// next is when something is due.
func (t *Table) next(now time.Time) time.Time {
	var due time.Time
	by := func(at time.Time) {
		if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	again := now.Add(max(recheck, time.Duration(len(t.cutting))*recheckEach))
	for c := range t.cutting {
		if c.tried {
			by(again)
		} else {
			by(c.since.Add(settle))
		}
	}
	if len(t.connections) > 0 || len(t.peers) > 0 {
		by(t.swept.Add(Period))
	}
	if t.state.Revision != t.ordered {
		by(latest(t.complete(), t.applied.Add(t.patience)))
	} else if now.Before(t.complete()) {
		by(t.complete())
	}
	return due
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
