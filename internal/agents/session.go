package agents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// maxPageBytes bounds one page of Envoy's admin port; a config_dump of a mesh of
// 10,000 services is some 200 MiB.
const maxPageBytes = 256 << 20

// session is one connected agent. One goroutine receives; sends go through a
// channel to another, because a gRPC stream takes one sender at a time.
type session struct {
	// number counts up from one stream to the next.
	number uint64
	out    chan *ensignv1.ConnectResponse
	// newest has no room: what is taken from it is the newest at that moment.
	newest chan *ensignv1.ConnectResponse
	done   chan struct{}

	mu      sync.Mutex
	lastID  uint64
	waiting map[uint64]question
}

func newSession(number uint64) *session {
	return &session{
		number:  number,
		out:     make(chan *ensignv1.ConnectResponse, 4),
		newest:  make(chan *ensignv1.ConnectResponse),
		done:    make(chan struct{}),
		waiting: map[uint64]question{},
	}
}

var errGone = errors.New("the agent's connection ended before it answered")

// send queues a message, as long as the session lives.
func (s *session) send(ctx context.Context, message *ensignv1.ConnectResponse) error {
	select {
	case s.out <- message:
		return nil
	case <-s.done:
		return errGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// transmit sends what is queued until the session or the stream ends.
func (s *session) transmit(stream ensignv1.AgentService_ConnectServer) error {
	for {
		var message *ensignv1.ConnectResponse
		select {
		case message = <-s.out:
		case message = <-s.newest:
		case <-s.done:
			return nil
		}
		if err := stream.Send(message); err != nil {
			return err
		}
	}
}

func (s *session) fetch(ctx context.Context, page ensignv1.EnvoyPage, w io.Writer) error {
	id, q := s.expect()
	defer s.forget(id)
	query := &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_Query{Query: &ensignv1.EnvoyQuery{Id: id, Page: page}}}
	if err := s.send(ctx, query); err != nil {
		return err
	}
	for total := 0; ; {
		select {
		case answer := <-q.answers:
			if answer.Error != "" {
				return fmt.Errorf("reading Envoy's admin port: %s", answer.Error)
			}
			if total += len(answer.Chunk); total > maxPageBytes {
				return fmt.Errorf("the page is larger than %d MiB", maxPageBytes>>20)
			}
			if _, err := w.Write(answer.Chunk); err != nil {
				return err
			}
			if answer.Last {
				return nil
			}
		case <-s.done:
			return errGone
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// question is one page that somebody waits for.
type question struct {
	answers chan *ensignv1.EnvoyAnswer
	done    chan struct{} // closed when nobody waits any more
}

func (s *session) expect() (uint64, question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	q := question{answers: make(chan *ensignv1.EnvoyAnswer, 4), done: make(chan struct{})}
	s.waiting[s.lastID] = q
	return s.lastID, q
}

func (s *session) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.waiting[id].done)
	delete(s.waiting, id)
}

// deliver hands an answer to who asked; nobody asking any more, it is dropped.
func (s *session) deliver(ctx context.Context, answer *ensignv1.EnvoyAnswer) {
	s.mu.Lock()
	q, asked := s.waiting[answer.Id]
	s.mu.Unlock()
	if !asked {
		return
	}
	select {
	case q.answers <- answer:
	case <-q.done:
	case <-ctx.Done():
	}
}
