package agent

import (
	"context"
	"sync"
	"time"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
	"github.com/ensign-mesh/ensign/sds"
)

// believer is what does as a Trust says.
type believer interface {
	Follow(sds.Trust) error
	Keep()
	Renew()
}

// trustee passes the control plane's word on roots on, the newest first: to follow it
// takes the disk, for which nobody who reads the stream should wait.
type trustee struct {
	believer believer
	// came holds at most one word that newest is another.
	came chan struct{}

	mu     sync.Mutex // guards all below
	newest *sds.Trust // nil once it is followed
	done   chan struct{}
}

func newTrustee(b believer) *trustee {
	return &trustee{believer: b, came: make(chan struct{}, 1), done: make(chan struct{})}
}

// take notes a word; first is the first of a stream.
func (t *trustee) take(trust *ensignv1.Trust, first bool) {
	next := sds.Trust{
		Sequence: trust.GetSequence(), First: first, Roots: trust.GetRoots(),
		Root: trust.GetRoot(), RenewWithin: trust.GetRenewWithin().AsDuration(),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.newest != nil {
		// It stands for both.
		next.First = next.First || t.newest.First
	}
	t.newest = &next
	select {
	case t.came <- struct{}{}:
	default:
	}
}

// keepRootsEvery is how often roots that could not be kept are tried again.
const keepRootsEvery = 2 * time.Second

// run follows what comes until ctx ends.
func (t *trustee) run(ctx context.Context) error {
	var last uint64
	again := time.NewTicker(keepRootsEvery)
	defer again.Stop()
	for {
		select {
		case <-t.came:
		case <-again.C:
			t.believer.Keep()
			continue
		case <-ctx.Done():
			return nil
		}
		t.mu.Lock()
		trust := t.newest
		t.newest = nil
		t.mu.Unlock()
		if trust == nil {
			continue // it came when the one before was taken up, and went with it
		}
		// What is wrong with it is in the Source's problems, which are reported.
		_ = t.believer.Follow(*trust)
		if trust.Sequence != last {
			last = trust.Sequence
			t.tell()
		}
	}
}

func (t *trustee) tell() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.done)
	t.done = make(chan struct{})
}

// followed is closed when a word of another sequence than the last was followed, or
// refused. A gate may wait for a report that names it, though Envoy has nothing new to
// acknowledge, as when a rotation is turned around; it names it once all of Envoy's
// streams have come to it, which is reported, too.
func (t *trustee) followed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done
}
