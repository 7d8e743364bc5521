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
	err = source.Run(ctx, func(u mesh.Update, _ []mesh.Problem) {
		defer cancel()
		if snap != nil {
			return
		}
		var problems []mesh.Problem
		snap, _, problems = mesh.NewBuilder(TrustDomain).Apply(u)
		for _, p := range problems {
			if !strings.Contains(p.Message, "not supported") {
				t.Errorf("%s %s: %s", p.Ref, p.Field, p.Message)
			}
		}
	})
	if err != nil || snap == nil {
		t.Fatalf("loading: %v", err)
	}
	return snap
}
