package xds

import (
	"context"
	"errors"
	"io"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// What a client may ask beyond answering what it is sent. A request costs one,
// and one more for each 4 KiB.
const (
	askRate  = 20 // a second
	askBurst = 200
	askUnit  = 4 << 10
)

// stream joins a session to its gRPC stream: one goroutine reads, one sends,
// and the one that runs here owns the session.
type stream struct {
	session *session
	grpc    grpc.ServerStream
	limit   *rate.Limiter

	requests chan *request
	failed   chan error         // why no more requests come
	resume   chan time.Duration // how long to wait before the next read
	out      chan *response
	sent     chan error
	sending  bool
}

// serve runs a stream to its end.
func (s *session) serve(g grpc.ServerStream) error {
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	defer s.close()
	t := &stream{
		session: s, grpc: g, limit: rate.NewLimiter(askRate, askBurst),
		requests: make(chan *request), failed: make(chan error, 1), resume: make(chan time.Duration, 1),
		out: make(chan *response, 1), sent: make(chan error, 1),
	}
	go t.read(ctx)
	go t.send(ctx)
	return t.run(ctx)
}

// run is the life of the session: one event after the other.
func (t *stream) run(ctx context.Context) error {
	stall := time.NewTimer(time.Hour)
	stall.Stop()
	silence := time.NewTimer(time.Hour)
	silence.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return t.ended(ctx)
		case req := <-t.requests:
			err = t.take(req)
		case err = <-t.failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
		case <-t.session.wake:
			err = t.session.locked(t.session.refresh)
		case err = <-t.sent:
			t.sending = false
			stall.Stop()
		case <-silence.C:
		case <-stall.C:
			err = refuse(codes.DeadlineExceeded, "stalled", "the client has not read its responses for %s", t.session.server.config.SendTimeout)
		}
		if err != nil {
			return err
		}
		t.advance(stall, silence)
	}
}

// ended says why the context is over.
func (t *stream) ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return refuse(codes.Unauthenticated, "proof_expired", "the proof of %s ended; reconnect with a fresh one", t.session.caller.Account)
	}
	return ctx.Err()
}

// take hands a request to the session and tells the reader when to read on.
func (t *stream) take(req *request) error {
	now := time.Now()
	var paid bool
	err := t.session.locked(func() (err error) {
		paid, err = t.session.handle(req, now)
		return err
	})
	if err != nil {
		return err
	}
	var delay time.Duration
	if !paid {
		cost := min(1+req.size/askUnit, askBurst)
		delay = t.limit.ReserveN(now, cost).DelayFrom(now)
	}
	if delay > 0 {
		t.session.server.metrics.delayed.Inc()
	}
	t.resume <- delay
	return nil
}

// advance sends the next response if nothing is being sent, and sets the clocks.
func (t *stream) advance(stall, silence *time.Timer) {
	s, now := t.session, time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.overdue(now)
	if !t.sending {
		if r, k := s.next(now); r != nil {
			s.server.count(r, k)
			t.out <- r
			t.sending = true
			stall.Reset(s.server.config.SendTimeout)
		}
	}
	silence.Stop()
	if due := s.overdue(now); !due.IsZero() {
		silence.Reset(due.Sub(now))
	}
}

// read feeds requests to the owner, each only after the one before is done with.
func (t *stream) read(ctx context.Context) {
	for {
		req, err := receive(t.grpc, t.session.sotw)
		if err != nil {
			t.failed <- err
			return
		}
		select {
		case t.requests <- req:
		case <-ctx.Done():
			return
		}
		select {
		case delay := <-t.resume:
			if !pause(ctx, delay) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// send writes what the owner hands over.
func (t *stream) send(ctx context.Context) {
	for {
		select {
		case r := <-t.out:
			t.sent <- t.grpc.SendMsg(r)
		case <-ctx.Done():
			return
		}
	}
}

// pause waits, and says whether the stream is still wanted.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// locked runs one event.
func (s *session) locked(do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return do()
}
