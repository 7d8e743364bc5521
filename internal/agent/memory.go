package agent

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// The live heap is 2 to 3 MiB; collecting it early costs nothing worth counting.
	gcPercent = 25
	// Beyond this the collector works harder. A large push passes through all the same.
	softLimit = 48 << 20
	// Relayed bytes after which freed pages go back to the system once it is quiet.
	largeRelay = 1 << 20
	keepEvery  = 5 * time.Second
	// Two threads carry one Envoy's stream; each more has caches of its own.
	maxThreads = 2
)

// tuneMemory sets the runtime up for a process that mostly waits.
func tuneMemory() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(softLimit)
	runtime.GOMAXPROCS(min(maxThreads, runtime.NumCPU()))
}

// keepMemory gives pages back after the start and after each large relay.
func keepMemory(ctx context.Context, relayed *atomic.Int64) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	var seen, freed int64 = 0, -largeRelay
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now := relayed.Load()
		if quiet := now == seen; quiet && now-freed >= largeRelay {
			// gRPC pools its buffers, and a pool lets go at the second collection.
			runtime.GC()
			debug.FreeOSMemory()
			freed = now
		}
		seen = now
	}
}
