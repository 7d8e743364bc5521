package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned by [Group.Do] after [Group.Close].
var ErrClosed = errors.New("the store is closed")

// Request is one caller's value on its way into a batch.
type Request[T any] struct {
	Value T
	err   error
	done  chan struct{}
}

// Refuse answers this caller alone with err; the rest of its batch goes on.
func (r *Request[T]) Refuse(err error) { r.err = err }

// Config is what a group does with its batches. Both functions are called by
// one goroutine, never at the same time.
type Config[T any] struct {
	// Commit makes the whole batch durable, save the requests that it refuses.
	// An error is the answer to every request of the batch.
	Commit func(batch []*Request[T]) error
	// Probe tries whether writing works again. It is called every Retry after
	// a failed commit until it, or a commit, succeeds.
	Probe func() error
	Retry time.Duration
	// MaxBatch bounds the requests of one commit.
	MaxBatch int
}

// Group gathers concurrent requests into batches.
type Group[T any] struct {
	config Config[T]
	// queue is unbuffered: a request is either taken or was never there.
	queue   chan *Request[T]
	closing chan struct{}
	closed  chan struct{}
	once    sync.Once
	failure atomic.Pointer[error]
}

// Start starts the group's goroutine, which [Group.Close] ends.
func Start[T any](c Config[T]) *Group[T] {
	g := &Group[T]{config: c, queue: make(chan *Request[T]), closing: make(chan struct{}), closed: make(chan struct{})}
	go g.run()
	return g
}

// Do returns nil when the value is durable. The context's error means that the
// value was not taken and never will be; once it is taken, Do waits for the
// outcome even if the context ends.
func (g *Group[T]) Do(ctx context.Context, value T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &Request[T]{Value: value, done: make(chan struct{})}
	select {
	case g.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-g.closing:
		return ErrClosed
	}
	<-r.done
	return r.err
}

// Healthy is nil, or why the last attempt to write did not succeed.
func (g *Group[T]) Healthy() error {
	if err := g.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Close finishes the batch in hand, refuses everybody else and returns when the goroutine has ended.
func (g *Group[T]) Close() {
	g.once.Do(func() { close(g.closing) })
	<-g.closed
}

func (g *Group[T]) run() {
	defer close(g.closed)
	retry := time.NewTicker(g.config.Retry)
	defer retry.Stop()
	for {
		select {
		case r := <-g.queue:
			g.commit(g.gather(r))
		case <-retry.C:
			if g.Healthy() != nil {
				g.note(g.config.Probe())
			}
		case <-g.closing:
			return
		}
	}
}

// gather takes the callers that already stand in the queue behind the first one.
func (g *Group[T]) gather(first *Request[T]) []*Request[T] {
	batch := []*Request[T]{first}
	// Those that the last batch answered are about to ask again: let them.
	runtime.Gosched()
	for len(batch) < g.config.MaxBatch {
		select {
		case r := <-g.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

func (g *Group[T]) commit(batch []*Request[T]) {
	err := g.guard(batch)
	g.note(err)
	for _, r := range batch {
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
}

// guard turns a panic into a refused batch: its callers must not wait for ever.
func (g *Group[T]) guard(batch []*Request[T]) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("writing a batch of %d: panic: %v", len(batch), p)
		}
	}()
	return g.config.Commit(batch)
}

func (g *Group[T]) note(err error) {
	if err != nil {
		g.failure.Store(&err)
		return
	}
	g.failure.Store(nil)
}
