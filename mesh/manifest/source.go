package manifest

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/mesh"
)

// Config is what a Source needs.
type Config struct {
	// Dir is the folder to read and watch.
	Dir string
	// Logger gets notices and reloads; nil is silent.
	Logger *slog.Logger
	// Rescan is how often the whole folder is looked at even without an event, for
	// mounts that send none; 0 means 10 s.
	Rescan time.Duration
	// Metrics is where ensign_manifest_* are registered; nil is nowhere.
	Metrics prometheus.Registerer
}

// Source is one folder of YAML.
type Source struct {
	config Config
}

// New is a source of the folder in c; an error if it is not a folder.
func New(c Config) (*Source, error) {
	return &Source{config: c}, nil
}

// Run loads the folder, calls apply with everything that is in it, then watches
// it and calls apply again with each change, one call at a time, until ctx ends
// (then it returns nil). The problems given are all that stand now. A folder
// that can't be read or that has errors at the first load is an error.
func (s *Source) Run(ctx context.Context, apply func(mesh.Update, []mesh.Problem)) error {
	<-ctx.Done()
	return nil
}

// Problems are those that stand now, sorted by place; safe from any goroutine.
func (s *Source) Problems() []mesh.Problem { return nil }

// LoadError is a first load that was refused.
type LoadError struct {
	Dir      string
	Problems []mesh.Problem
}

func (e *LoadError) Error() string { return "loading " + e.Dir }
