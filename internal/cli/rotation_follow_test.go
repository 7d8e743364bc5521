package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// said is what ensignd says a while after the message before.
type said struct {
	after time.Duration
	say   *ensignv1.Authority
	err   error
}

// rotor is an ensignd that answers from a script, over as many streams as it takes.
type rotor struct {
	ensignv1.AdminServiceClient
	script  []said
	streams atomic.Int32
}

func (m *rotor) WatchAuthority(ctx context.Context, _ *ensignv1.GetAuthorityRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[ensignv1.Authority], error) {
	m.streams.Add(1)
	return &rotorStream{rotor: m, ctx: ctx}, nil
}

type rotorStream struct {
	grpc.ClientStream
	rotor *rotor
	ctx   context.Context
}

func (s *rotorStream) Recv() (*ensignv1.Authority, error) {
	if len(s.rotor.script) == 0 {
		<-s.ctx.Done()
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
	next := s.rotor.script[0]
	select {
	case <-time.After(next.after):
	case <-s.ctx.Done():
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
	s.rotor.script = s.rotor.script[1:]
	return next.say, next.err
}

// noon is when every rotation of these tests begins.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// at is an answer so long after noon: the step has so many of ten ready.
func at(d time.Duration, step string, ready uint32) *ensignv1.Authority {
	r := &ensignv1.Rotation{
		Id: "k3x9", Step: step, Outcome: outcomeRunning, StepSince: timestamppb.New(noon),
		From: &ensignv1.Root{Place: "builtin", Name: "root"}, To: &ensignv1.Root{Place: "vault", Name: "next"},
		Gate:     &ensignv1.Gate{Name: "new-bundle", Instances: 10, Ready: ready, Waiting: 10 - ready},
		Timeline: []*ensignv1.RotationEvent{{Time: timestamppb.New(noon), Verb: "begin"}},
	}
	if step == "done" {
		r.Outcome, r.Gate = outcomeCompleted, nil
		r.Timeline = append(r.Timeline, &ensignv1.RotationEvent{Time: timestamppb.New(noon.Add(d)), Verb: "finish"})
	}
	return &ensignv1.Authority{Now: timestamppb.New(noon.Add(d)), Rotation: r}
}

func TestFollowing(t *testing.T) {
	const second = time.Second
	gone := status.Error(codes.Unavailable, "connection refused")
	head := "rotation k3x9  builtin/root → vault/next  "
	for name, c := range map[string]struct {
		script  []said
		took    time.Duration
		err     error
		lines   string
		streams int
	}{
		"to its end": {
			script: []said{{0, at(0, "distributing", 3), nil}, {5 * second, at(5*second, "done", 0), nil}, {0, nil, io.EOF}}, took: 5 * second, streams: 1,
			lines: "2026-11-21T12:00:00Z " + head + "distributing: 3 of 10 trust both roots; waiting for 7 more\n" +
				"2026-11-21T12:00:05Z rotation k3x9  builtin/root → vault/next completed after 5s\n",
		},
		"counts wait for a second": {
			script: []said{{0, at(0, "distributing", 3), nil}, {1e6, at(1e6, "distributing", 4), nil}, {1e6, at(2e6, "distributing", 5), nil},
				{2 * second, at(2*second, "done", 0), nil}, {0, nil, io.EOF}}, took: 2*second + 2e6, streams: 1,
			lines: "2026-11-21T12:00:00Z " + head + "distributing: 3 of 10 trust both roots; waiting for 7 more\n" +
				"2026-11-21T12:00:01Z " + head + "distributing: 5 of 10 trust both roots; waiting for 5 more\n" +
				"2026-11-21T12:00:02Z rotation k3x9  builtin/root → vault/next completed after 2s\n",
		},
		"ensignd is started again": {
			script: []said{{0, at(0, "distributing", 10), nil}, {second / 2, nil, gone}, {second, nil, io.EOF},
				{0, at(3*second, "done", 0), nil}, {0, nil, io.EOF}}, took: 3*second/2 + 2*askAgainAfter, streams: 3,
			lines: "2026-11-21T12:00:00Z " + head + "distributing: 10 of 10 trust both roots\n" +
				"2026-11-21T12:00:00Z ensignd is away, waiting for it: ensignd does not answer: connection refused\n" +
				"2026-11-21T12:00:01Z ensignd is away, waiting for it: it ended the answer\n" +
				"2026-11-21T12:00:03Z rotation k3x9  builtin/root → vault/next completed after 3s\n",
		},
		"time is up": {
			script: []said{{0, at(0, "distributing", 10), nil}}, took: 30 * second, err: errLate, streams: 1,
			lines: "2026-11-21T12:00:00Z " + head + "distributing: 10 of 10 trust both roots\n",
		},
		"silence is no end":  {took: 30 * second, err: errLate, streams: 1},
		"a refusal is final": {script: []said{{0, nil, status.Error(codes.PermissionDenied, "no")}}, err: status.Error(codes.PermissionDenied, "no"), streams: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lines strings.Builder
				m := &rotor{script: c.script}
				f := following{admin: m, limit: 30 * time.Second, told: &lineByLine{out: &lines}}
				begun := time.Now()
				err := f.run(t.Context())
				if (err == nil) != (c.err == nil) || (err != nil && !errors.Is(err, c.err) && err.Error() != c.err.Error()) {
					t.Errorf("%v, want %v", err, c.err)
				}
				if took := time.Since(begun); took != c.took || lines.String() != c.lines || int(m.streams.Load()) != c.streams {
					t.Errorf("after %v (want %v), %d streams, told:\n%s\nwant\n%s", took, c.took, m.streams.Load(), lines.String(), c.lines)
				}
			})
		})
	}
}

// broken is a pipe that nobody reads.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestFollowingEndsWhenNobodyReads(t *testing.T) {
	f := following{admin: &rotor{script: []said{{0, at(0, "distributing", 3), nil}}}, told: &lineByLine{out: broken{}}}
	if err := f.run(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}
