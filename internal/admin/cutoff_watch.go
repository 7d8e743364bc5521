package admin

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ensign-mesh/ensign/ca/revocation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Population is every place where lists are enforced.
type Population interface {
	// Obeying says how far each proxy obeys, as of this list at least, and answers a
	// channel that is closed when an agent has said something new.
	Obeying(ctx context.Context, list *revocation.List) ([]revocation.Proxy, <-chan struct{}, error)
}

const (
	// lookEvery is how often a watch looks by itself: proxies that acknowledge call nobody.
	lookEvery = 25 * time.Millisecond
	// lookApart is the least time between two looks when a thousand agents speak at once.
	lookApart = 5 * time.Millisecond
)

// WatchCutOff streams how far the mesh obeys the newest list, each time that it
// changes, and ends when all do. A list that is newer than the one asked for holds it
// as well.
func (s *Service) WatchCutOff(r *ensignv1.WatchCutOffRequest, stream ensignv1.AdminService_WatchCutOffServer) error {
	ctx := stream.Context()
	if _, err := s.authorize(ctx); err != nil {
		return err
	}
	if list, _ := s.config.Register.Current(); r.Revision > list.Revision {
		return status.Errorf(codes.FailedPrecondition, "revision %d never was, the newest is %d: was the ledger restored?", r.Revision, list.Revision)
	}
	var told *ensignv1.WatchCutOffResponse
	for {
		now, changed, err := s.obedience(ctx)
		if err != nil {
			return status.Error(codes.Unavailable, err.Error())
		}
		if told == nil || !proto.Equal(told, now) {
			if err := stream.Send(now); err != nil {
				return err
			}
			told = now
		}
		if now.Done {
			return nil
		}
		if err := rest(ctx, changed); err != nil {
			return err
		}
	}
}

// rest waits until it is worth looking again.
func rest(ctx context.Context, changed <-chan struct{}) error {
	for _, pause := range []struct {
		atMost time.Duration
		early  <-chan struct{}
	}{{lookApart, nil}, {lookEvery, changed}} {
		select {
		case <-time.After(pause.atMost):
		case <-pause.early:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	return nil
}

// obedience is how far the mesh obeys now.
func (s *Service) obedience(ctx context.Context) (*ensignv1.WatchCutOffResponse, <-chan struct{}, error) {
	list, _ := s.config.Register.Current()
	set, _ := s.config.CRLs.Current()
	proxies, changed, err := s.config.Population.Obeying(ctx, list)
	if err != nil {
		return nil, nil, err
	}
	return progressOf(revocation.Progress(list, set, proxies)), changed, nil
}

func progressOf(p revocation.Status) *ensignv1.WatchCutOffResponse {
	out := &ensignv1.WatchCutOffResponse{
		Revision: p.Revision, Proxies: uint32(p.Proxies), DenyAcked: uint32(p.DenyAcked), CrlAcked: uint32(p.CRLAcked),
		CutAcked: uint32(p.CutAcked), OpenConnections: uint32(p.Open), Done: p.Done, Unverifiable: p.Unverifiable,
	}
	for _, l := range p.Laggards {
		out.Laggards = append(out.Laggards, &ensignv1.Laggard{Name: l.Name, Missing: l.Missing, Connected: l.Connected, OpenConnections: l.Open})
	}
	return out
}
