package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/internal/connections"
	"github.com/ensign-mesh/ensign/sds"
)

const (
	// Between streams to the control plane: grows to the cap, half of it random. Who is
	// cut off comes by this stream, so it may not stay away for long.
	reconnectFirst, reconnectCap = time.Second, 5 * time.Second
	// Without a live SVID the token is shown after this time, in which an agent that
	// just started usually gets one.
	tokenAfter = time.Second
	// Sightings go out at most so often, at most so many at a time.
	sightingsEvery, maxSightings = time.Second, 256
)

// reporter tells the control plane what Envoy has acknowledged and shows, and how
// far it obeys.
type reporter struct {
	upstream *upstream
	secrets  func() (sds.Acknowledged, <-chan struct{})
	// fingerprintOf is the fingerprint of an SVID of ours by its serial; "" if it is none.
	fingerprintOf func(serial string) string
	admin         *adminPort
	nodeID        string
	envoy         bool
	metrics       *metrics
	logger        *slog.Logger
	follower      *follower
	memory        *ledgerMemory
	sightings     func() ([]connections.Sighting, <-chan struct{})
	trustee       *trustee
	problems      func() (sds.Problems, <-chan struct{})
	// untold were taken for a stream that ended.
	untold   []connections.Sighting
	sequence uint64
	// seen is what Envoy showed last.
	seen look
}

// run keeps one stream open until ctx ends.
func (r *reporter) run(ctx context.Context) error {
	pause := reconnectFirst
	for ctx.Err() == nil {
		began := time.Now()
		last, _ := r.upstream.watch()
		err := r.connect(ctx, last)
		if ctx.Err() != nil {
			break
		}
		r.logger.InfoContext(ctx, "report stream ended", "error", err)
		if errors.Is(err, errMoving) {
			pause = reconnectFirst
			continue
		}
		if pause = min(pause*2, reconnectCap); time.Since(began) > reconnectCap {
			pause = reconnectFirst
		}
		select {
		case <-time.After(time.Duration(float64(pause) * (0.5 + 0.5*rand.Float64()))):
		case <-r.upstream.newer(last):
			// What was refused was the SVID, maybe: it may have been cut off.
			pause = reconnectFirst
		case <-ctx.Done():
		}
	}
	return nil
}

// session is the connection to report by: with the token where there is no SVID, as
// while the workload is in quarantine, which it would not hear the end of otherwise.
func (r *reporter) session(ctx context.Context, last *sds.SVID) (*session, error) {
	live, err := r.upstream.session()
	if !errors.Is(err, sds.ErrNone) {
		return live, err
	}
	select {
	case <-time.After(tokenAfter):
		return r.upstream.tokenSession(last)
	case <-r.upstream.newer(last):
		return r.upstream.session()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// uplink is one stream. Reports and answers are written by different goroutines,
// and gRPC takes one writer at a time.
type uplink struct {
	stream ensignv1.AgentService_ConnectClient

	mu   sync.Mutex // held while a message is written; guards told
	told []told     // the reports that are not answered, oldest first
}

// maxTold bounds what is remembered of reports that nobody answers.
const maxTold = 64

// told is what size of the ledger a report told of.
type told struct{ sequence, size uint64 }

func (u *uplink) send(message *ensignv1.ConnectRequest) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if report := message.GetReport(); report != nil {
		u.told = append(u.told, told{report.GetSequence(), report.GetLedger().GetSize()})
		u.told = u.told[max(0, len(u.told)-maxTold):]
	}
	return u.stream.Send(message)
}

// answered is the size that the report of a sequence told of; false if there is no
// such report, or it was answered before.
func (u *uplink) answered(sequence uint64) (size uint64, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, t := range u.told {
		if t.sequence == sequence {
			u.told = u.told[i+1:]
			return t.size, true
		}
	}
	return 0, false
}

// connect reports by one stream until it ends. last is the SVID there was before.
func (r *reporter) connect(ctx context.Context, last *sds.SVID) error {
	session, err := r.session(ctx, last)
	if err != nil {
		return err
	}
	if session.svid == nil {
		defer session.end()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := ensignv1.NewAgentServiceClient(session.conn).Connect(ctx, grpc.MaxCallRecvMsgSize(maxCutOff))
	if err != nil {
		return fmt.Errorf("opening report stream: %w", err)
	}
	link := &uplink{stream: stream}
	stored, failed := make(chan uint64), make(chan error, 1)
	// Both end with this stream, so that its last words never come after the first
	// ones of the next.
	var both sync.WaitGroup
	known := make(chan struct{})
	both.Go(func() { failed <- r.receive(ctx, link, stored, sync.OnceFunc(func() { close(known) })) })
	both.Go(func() {
		select {
		case <-known:
			r.tellSightings(ctx, link)
		case <-ctx.Done():
		}
	})
	err = r.newReporting(link, stored, failed, session.done).run(ctx)
	cancel()
	both.Wait()
	r.upstream.note(session, err)
	return err
}

// receive takes what the control plane says until the stream ends. It calls known
// with the first report that is stored: before, nobody knows whose stream this is.
func (r *reporter) receive(ctx context.Context, link *uplink, stored chan<- uint64, known func()) error {
	desk := newDesk(r.admin, r.envoy, r.metrics)
	first := true
	for {
		message, err := link.stream.Recv()
		if err != nil {
			return err
		}
		switch message := message.GetMessage().(type) {
		case *ensignv1.ConnectResponse_Stored:
			r.metrics.reports.WithLabelValues("stored").Inc()
			known()
			if size, ok := link.answered(message.Stored.GetSequence()); ok {
				r.memory.offer(ctx, message.Stored.GetLedger(), size)
			}
			select {
			case stored <- message.Stored.GetSequence():
			case <-ctx.Done():
				return ctx.Err()
			}
		case *ensignv1.ConnectResponse_CutOff:
			r.follower.take(message.CutOff)
		case *ensignv1.ConnectResponse_Trust:
			r.trustee.take(message.Trust, first)
			first = false
		case *ensignv1.ConnectResponse_Renew:
			r.trustee.believer.Renew()
		case *ensignv1.ConnectResponse_Query:
			desk.answer(ctx, message.Query, link.send)
		}
	}
}

// tellSightings passes on which peers Envoy met, until the stream ends.
func (r *reporter) tellSightings(ctx context.Context, link *uplink) {
	for ctx.Err() == nil {
		var more <-chan struct{}
		if len(r.untold) == 0 {
			r.untold, more = r.sightings()
		}
		if len(r.untold) == 0 {
			select {
			case <-more:
			case <-ctx.Done():
			}
			continue
		}
		message := &ensignv1.Sightings{}
		for _, s := range r.untold[:min(len(r.untold), maxSightings)] {
			message.Sightings = append(message.Sightings, sighting(s))
		}
		if link.send(&ensignv1.ConnectRequest{Message: &ensignv1.ConnectRequest_Sightings{Sightings: message}}) != nil {
			return // receive learns why
		}
		r.untold = r.untold[len(message.Sightings):]
		select {
		case <-time.After(sightingsEvery):
		case <-ctx.Done():
		}
	}
}
