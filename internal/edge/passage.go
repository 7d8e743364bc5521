package edge

import (
	"context"
	"sync"

	"github.com/ensign-mesh/ensign/identity"
)

// Standing says whether a proof that was taken once still holds.
type Standing interface {
	// Proof is nil while what leans on the caller's proof may go on. It is asked for
	// each open stream whenever somebody is cut off, so it must be quick. Errors wrap
	// a sentinel of identity.
	Proof(caller identity.Caller) error
	// Changed is closed when Proof may say something else than before.
	Changed() <-chan struct{}
}

// passages are the open streams, with what each was let in for.
type passages struct {
	mu   sync.Mutex
	open map[*passage]struct{}
}

// passage is one open stream. Cancelling it ends its handler.
type passage struct {
	caller identity.Caller
	cancel context.CancelCauseFunc
}

func (p *passages) enter(one *passage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[one] = struct{}{}
}

func (p *passages) leave(one *passage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, one)
}

// all are the streams that are open now.
func (p *passages) all() []*passage {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]*passage, 0, len(p.open))
	for one := range p.open {
		list = append(list, one)
	}
	return list
}

// cutOff is why a stream was ended before its proof did.
type cutOff struct{ error }

func (c cutOff) Unwrap() error { return c.error }

// Run ends the streams of callers who are cut off, as soon as they are, until ctx ends.
func (g *Gate) Run(ctx context.Context) error {
	for {
		changed := g.standing.Changed()
		for _, one := range g.passages.all() {
			if err := g.standing.Proof(one.caller); err != nil {
				one.cancel(cutOff{err})
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
