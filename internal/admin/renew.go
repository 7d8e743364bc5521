package admin

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ensign-mesh/ensign/internal/agents"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// RenewProxy has the agent of one proxy get another SVID now, and waits for its
// Envoy's acknowledgement as long as the caller does.
func (s *Service) RenewProxy(ctx context.Context, r *ensignv1.RenewProxyRequest) (*ensignv1.RenewProxyResponse, error) {
	actor, err := s.authorize(ctx)
	if err != nil {
		return nil, err
	}
	before, connected, _ := s.config.Agents.Agent(r.Name)
	if !connected {
		return nil, notConnected(r.Name)
	}
	if err := s.record(ctx, actor, "renew", "proxy "+r.Name, "SVID "+before.AckedSerial); err != nil {
		return nil, err
	}
	if err := s.config.Agents.Renew(ctx, r.Name); errors.Is(err, agents.ErrNotConnected) {
		return nil, notConnected(r.Name)
	} else if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	for {
		// A stream moves to the new SVID, so for a moment there may be none.
		now, connected, changed := s.config.Agents.Agent(r.Name)
		if connected && now.AckedSerial != before.AckedSerial {
			return &ensignv1.RenewProxyResponse{Before: before.AckedSerial, Serial: now.AckedSerial, AcknowledgedAt: timestamppb.New(now.AckedAt)}, nil
		}
		if connected && now.RenewalError != "" && now.RenewalError != before.RenewalError {
			return nil, status.Errorf(codes.Unavailable, "%s could not renew, and tries again: %s", r.Name, now.RenewalError)
		}
		if err := pause(ctx, time.Minute, changed); err != nil {
			return nil, err
		}
	}
}

func notConnected(name string) error {
	return status.Errorf(codes.NotFound, "no agent of %.300q is connected: see `ensign proxy status`", name)
}

// pause waits until it is time, or something has changed.
func pause(ctx context.Context, atMost time.Duration, early <-chan struct{}) error {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	return nil
}
