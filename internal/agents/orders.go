package agents

import (
	"context"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// Orders says who is cut off.
type Orders interface {
	// For is what the agent of one pod, "NAMESPACE/POD", is to follow now, and a
	// channel that is closed when that may have changed. The message is never
	// changed after it was handed out, and is the same one while it says the same.
	For(pod string) (order *ensignv1.CutOff, changed <-chan struct{})
}

// Roots says what is to be trusted.
type Roots interface {
	// Trust is what every agent is to follow now, as Orders.For is.
	Trust() (trust *ensignv1.Trust, changed <-chan struct{})
}

// begin tells the agent who is cut off before anything else, then what is to be
// trusted, and keeps it at the newest of both.
func (i *intake) begin(ctx context.Context) error {
	pod := i.pod.String()
	orders := func() (*ensignv1.CutOff, <-chan struct{}) { return i.config.Orders.For(pod) }
	order, _ := orders()
	trust, _ := i.config.Roots.Trust()
	for _, first := range []*ensignv1.ConnectResponse{cutOff(order), trusting(trust)} {
		if err := i.live.send(ctx, first); err != nil {
			return err
		}
	}
	go follow(ctx, i.live, orders, order, cutOff)
	go follow(ctx, i.live, i.config.Roots.Trust, trust, trusting)
	return nil
}

func cutOff(order *ensignv1.CutOff) *ensignv1.ConnectResponse {
	return &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_CutOff{CutOff: order}}
}

func trusting(trust *ensignv1.Trust) *ensignv1.ConnectResponse {
	return &ensignv1.ConnectResponse{Message: &ensignv1.ConnectResponse_Trust{Trust: trust}}
}

// follow keeps the agent at the newest of what it is told until the stream ends. What
// came between two sends is left out: each message is the whole of what it is about,
// and an agent that reads slowly is told the newest only.
func follow[T comparable](ctx context.Context, s *session, current func() (T, <-chan struct{}), told T, message func(T) *ensignv1.ConnectResponse) {
	for {
		newest, changed := current()
		out := s.newest
		if newest == told {
			out = nil
		}
		select {
		case out <- message(newest):
			told = newest
		case <-changed:
		case <-s.done:
			return
		case <-ctx.Done():
			return
		}
	}
}
