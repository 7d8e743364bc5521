package build_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"github.com/ensign-mesh/ensign/test/meshgen"
	"github.com/ensign-mesh/ensign/xds/build"
)

var update = flag.Bool("update", false, "write testdata anew")

var trustDomain = meshgen.TrustDomain

var load = meshgen.Load

// show is resources as people read them.
func show(t testing.TB, resources []build.Resource) string {
	t.Helper()
	var out strings.Builder
	for _, r := range resources {
		fmt.Fprintf(&out, "# %s %s\n", r.TypeURL[strings.LastIndexByte(r.TypeURL, '.')+1:], r.Name)
		if len(r.IDs) > 0 {
			fmt.Fprintf(&out, "#   ids %s\n", strings.Join(r.IDs, " "))
		}
		for _, ref := range r.Origins {
			fmt.Fprintf(&out, "#   from %s\n", ref)
		}
		json, err := protojson.Marshal(r.Message)
		if err != nil {
			t.Fatalf("%s: %v", r.Name, err)
		}
		text, err := yaml.JSONToYAML(json)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s---\n", text)
	}
	return out.String()
}

// golden compares what make makes of each DIR/in/NAME.yaml with DIR/out/NAME.yaml;
// with -update it writes them, and removes those whose input is gone.
func golden(t *testing.T, dir string, make func(t *testing.T, input string) string) {
	inputs, err := filepath.Glob(filepath.Join(dir, "in", "*.yaml"))
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs below %s: %v", dir, err)
	}
	outputs, err := filepath.Glob(filepath.Join(dir, "out", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	stale := map[string]bool{}
	for _, path := range outputs {
		stale[path] = true
	}
	for _, path := range inputs {
		out := filepath.Join(dir, "out", filepath.Base(path))
		delete(stale, out)
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			input, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, out, make(t, string(input)))
		})
	}
	for path := range stale {
		if !*update {
			t.Errorf("%s has no input: run the test with -update", path)
		} else if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}
