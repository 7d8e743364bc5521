package daemon

import (
	"sync"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ensign-mesh/ensign/ca/rotation"
	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// taught is what agents are told to trust: one message for all. It implements agents.Roots.
type taught struct {
	roots truster

	mu      sync.Mutex
	of      *rotation.Trust
	message *ensignv1.Trust
}

// Trust implements agents.Roots.
func (t *taught) Trust() (*ensignv1.Trust, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, changed := t.roots.Trust()
	if t.of != now {
		t.of, t.message = now, trustOf(now)
	}
	return t.message, changed
}

func trustOf(t *rotation.Trust) *ensignv1.Trust {
	out := &ensignv1.Trust{Sequence: t.Sequence, Root: t.Root, RenewWithin: durationpb.New(t.RenewWithin)}
	for _, root := range t.Bundle.Roots() {
		out.Roots = append(out.Roots, root.Raw)
	}
	return out
}
