package daemon

import (
	"context"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
)

// sweepEvery is how often the store of reports is looked through for pods that are gone.
const sweepEvery = time.Hour

// run forgets what nobody needs any more until ctx ends, whether a gate asks or not: what
// agents say would fill the memory, and the disk, otherwise.
func (f *followers) run(ctx context.Context) error {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	var swept time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		f.census.mu.Lock()
		err := f.refresh(ctx, time.Now())
		f.census.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "who holds SVIDs is not known", "error", err)
		}
		if err != nil || time.Since(swept) < sweepEvery {
			continue
		}
		swept = time.Now()
		if err := f.sweep(ctx); err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "what pods that are gone have left is not removed: tried again in an hour", "error", err)
		}
	}
}

// sweep forgets pods that are gone and hold no SVID any more.
func (f *followers) sweep(ctx context.Context) error {
	hold := f.holders()
	gone := func(namespace, pod string) bool {
		snapshot := f.world.Snapshot()
		if snapshot == nil || len(snapshot.Workloads) == 0 {
			return false // a source that fell over says nothing
		}
		return snapshot.Workloads[mesh.Key{Namespace: namespace, Name: pod}] == nil && !hold[podName{namespace, pod}]
	}
	f.testimony.drop(gone)
	removed, err := f.prune(ctx, gone)
	if removed > 0 {
		f.log.InfoContext(ctx, "removed what pods that are gone have left", "rows", removed)
	}
	return err
}

// holders are the pods that a live SVID was bound to, or that acknowledged one, or what
// it was renewed from, as of the last refresh.
func (f *followers) holders() map[podName]bool {
	hold := map[podName]bool{}
	f.census.mu.Lock()
	for b := range f.census.pods {
		hold[b.pod] = true
	}
	f.census.mu.Unlock()
	f.testimony.acknowledging(hold)
	return hold
}
