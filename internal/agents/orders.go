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

// follow keeps the agent at the newest order until the stream ends. What came
// between two sends is left out: an order is the whole of what is cut off, and an
// agent that reads slowly is told the newest only.
func (s *session) follow(ctx context.Context, orders Orders, pod string, told *ensignv1.CutOff) {
	for {
		order, changed := orders.For(pod)
		out := s.orders
		if order == told {
			out = nil
		}
		select {
		case out <- order:
			told = order
		case <-changed:
		case <-s.done:
			return
		case <-ctx.Done():
			return
		}
	}
}
