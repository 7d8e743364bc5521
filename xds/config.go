package xds

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/ensign-mesh/ensign/mesh"
)

// Config is what a [Server] needs. Zero durations and limits take the defaults
// that are named beside them.
type Config struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// Tracer makes one span a push, below Context; nil: none.
	Tracer  trace.Tracer
	Context context.Context
	// Free is nil if any pod of the account may speak for a workload now, by a proof that
	// is bound to no pod; errors are a gRPC status. It is asked for each message of such a
	// stream. Nil: all are free.
	Free func(pod mesh.Key, w *mesh.Workload) error
	// SendTimeout is how long one response may wait for a client that does not
	// read before its stream is ended. 30 s.
	SendTimeout time.Duration
	// AckTimeout is how long a client's silence holds back what comes after a
	// response. 10 s.
	AckTimeout time.Duration
	// ScopeIdle is how long a scope without streams is kept. 5 min.
	ScopeIdle time.Duration
	// MaxNames is how many names of one type a stream may subscribe to. 10,000.
	MaxNames int
	// MaxUnknown is how many of these may be names that the mesh does not have. 1,000.
	MaxUnknown int
}

// validated is the configuration with its defaults, or what is missing.
func (c Config) validated() (Config, error) {
	if c.Logger == nil || c.Registerer == nil {
		return Config{}, errors.New("xds.Config: Logger and Registerer must be set")
	}
	if c.Tracer != nil && c.Context == nil {
		return Config{}, errors.New("xds.Config: Context must be set where Tracer is: spans hang below it")
	}
	if c.SendTimeout < 0 || c.AckTimeout < 0 || c.ScopeIdle < 0 || c.MaxNames < 0 || c.MaxUnknown < 0 {
		return Config{}, errors.New("xds.Config: timeouts and limits must not be negative; leave them 0 for the defaults")
	}
	c.SendTimeout = cmp.Or(c.SendTimeout, 30*time.Second)
	c.AckTimeout = cmp.Or(c.AckTimeout, 10*time.Second)
	c.ScopeIdle = cmp.Or(c.ScopeIdle, 5*time.Minute)
	c.MaxNames = cmp.Or(c.MaxNames, 10_000)
	c.MaxUnknown = cmp.Or(c.MaxUnknown, 1_000)
	return c, nil
}
