package manifest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ensign-mesh/ensign/mesh"
)

const (
	defaultRescan = 10 * time.Second
	// Events are gathered until it is quiet for holdOff, at most for holdOffMax.
	holdOff    = 100 * time.Millisecond
	holdOffMax = time.Second
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
	dir      string
	log      *slog.Logger
	rescan   time.Duration
	metrics  *metrics
	skipped  map[string]bool // kinds that were noticed
	problems atomic.Pointer[[]mesh.Problem]
}

// New is a source of the folder in c; an error if it is not a folder or the
// metrics are registered already.
func New(c Config) (*Source, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the manifests: %w", err)
	}
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("finding the manifests: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("finding the manifests: %s is not a folder", dir)
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, fmt.Errorf("registering metrics of manifests: %w", err)
	}
	return &Source{
		dir: dir, log: cmp.Or(c.Logger, slog.New(slog.DiscardHandler)), rescan: cmp.Or(c.Rescan, defaultRescan),
		metrics: m, skipped: map[string]bool{},
	}, nil
}

// Problems are those that stand now, sorted by place; safe from any goroutine.
// Ref.Where of each is FILE:LINE of the very field, FILE being below the folder.
func (s *Source) Problems() []mesh.Problem {
	if p := s.problems.Load(); p != nil {
		return slices.Clone(*p)
	}
	return nil
}

// Run loads the folder, calls apply with everything that is in it, then watches
// it and calls apply again after each change of the objects or of the problems,
// one call at a time, until ctx ends (then it returns nil). The problems given
// are all that stand now. A folder that can't be read or that has errors at the
// first load is an error, a [*LoadError] for the latter, and apply is not called.
func (s *Source) Run(ctx context.Context, apply func(mesh.Update, []mesh.Problem)) error {
	w, err := newWatch(s.dir)
	if err != nil {
		return fmt.Errorf("watching the manifests: %w", err)
	}
	defer w.close()
	st := newState(s.dir, &decoder{shapes: newShapes(), skipped: s.noticeSkipped})
	first, err := st.look(time.Now())
	if err != nil {
		return fmt.Errorf("loading the manifests: %w", err)
	}
	if len(first.problems) > 0 {
		s.note(st, first)
		return &LoadError{Dir: s.dir, Problems: first.problems}
	}
	w.follow(first.folders)
	s.publish(st, first, apply)
	// A change between the first look and the watches would go unseen: look again.
	again := holdOff
	for {
		if !w.wait(ctx, cmp.Or(again, s.rescan), again != 0) {
			return nil
		}
		out, err := st.look(time.Now())
		if err != nil {
			out.problems = []mesh.Problem{{Message: fmt.Sprintf("the folder can't be read: %v; its last good state stays in force", err),
				Ref: mesh.Ref{Where: s.dir}, Fix: "put the folder back, or restart ensignd with another"}}
		}
		again = out.again
		w.follow(out.folders)
		if !out.update.Empty() || !slices.Equal(out.problems, s.Problems()) {
			s.publish(st, out, apply)
		}
	}
}

func (s *Source) publish(st *state, out outcome, apply func(mesh.Update, []mesh.Problem)) {
	s.note(st, out)
	s.log.Info("manifests read", "upserts", len(out.update.Upserts), "deletes", len(out.update.Deletes), "problems", len(out.problems))
	apply(out.update, slices.Clone(out.problems))
}

func (s *Source) note(st *state, out outcome) {
	problems := slices.Clone(out.problems)
	s.problems.Store(&problems)
	s.metrics.note(len(st.inForce), len(problems))
}

// noticeSkipped says once that a kind is not read.
func (s *Source) noticeSkipped(apiVersion, kind string) {
	name := apiVersion + " " + kind
	if !s.skipped[name] {
		s.skipped[name] = true
		s.log.Info("kind skipped: the mesh is not built of it", "api_version", apiVersion, "kind", kind)
	}
}
