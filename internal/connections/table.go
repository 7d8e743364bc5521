package connections

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

const (
	// Period is how often Envoy must be set to repeat its word about a live connection.
	Period = 10 * time.Second
	// Flush is how long Envoy may be set to keep a record to itself.
	Flush = 50 * time.Millisecond
	// MaxMessage is the largest message, in bytes, that the server of the log
	// needs to take: Envoy's buffer of 16 KiB and one record with long headers.
	MaxMessage = 1 << 20
)

// Config of a table.
type Config struct {
	// Logger and Registerer are required.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Table is the live connections of one Envoy. Its methods may be called at any time
// by anyone.
type Table struct{}

// New makes an empty table. Nothing is ended before Run.
func New(c Config) *Table { return &Table{} }

// Register adds Envoy's access log service to a gRPC server, which must let in
// Envoy's user only.
func (t *Table) Register(server grpc.ServiceRegistrar) {}

// Run ends connections until ctx does.
func (t *Table) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// SetEnvoy says which process is the Envoy; 0 is none. adopted: it ran before this
// agent did, so that it may have connections that it is yet to tell of.
func (t *Table) SetEnvoy(pid int, adopted bool) {}

// Apply takes over who is cut off. It returns at once; State tells the rest.
func (t *Table) Apply(o Orders) {}

// State is how far the connections follow the orders; the channel is closed when
// that changes.
func (t *Table) State() (State, <-chan struct{}) { return State{Method: MethodNone}, nil }

// Sightings takes those that nobody took yet; the channel is closed when there are more.
func (t *Table) Sightings() ([]Sighting, <-chan struct{}) { return nil, nil }
