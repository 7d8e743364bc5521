package meshgen

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/mesh"
	"github.com/ensign-mesh/ensign/mesh/manifest"
)

// Load is the mesh of some YAML, read as ensignd reads a folder of it; the test
// fails if there is any problem with it, save that a part is not supported: tests
// say what holds then.
func Load(t testing.TB, text string) *mesh.Snapshot {
	t.Helper()
	snap, problems := LoadFlawed(t, text)
	for _, p := range problems {
		if !strings.Contains(p.Message, "not supported") {
			t.Errorf("%s %s: %s", p.Ref, p.Field, p.Message)
		}
	}
	return snap
}

// LoadFlawed is [Load] of YAML that has problems, and these.
func LoadFlawed(t testing.TB, text string) (*mesh.Snapshot, []mesh.Problem) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := manifest.New(manifest.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var snap *mesh.Snapshot
	var problems []mesh.Problem
	err = source.Run(ctx, func(u mesh.Update, _ []mesh.Problem) {
		defer cancel()
		if snap == nil {
			snap, _, problems = mesh.NewBuilder(TrustDomain).Apply(u)
		}
	})
	if err != nil || snap == nil {
		t.Fatalf("loading: %v", err)
	}
	return snap, problems
}
