package manifest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/ensign-mesh/ensign/mesh"
)

var update = flag.Bool("update", false, "rewrite testdata/out and remove what is stale there")

// TestGolden reads each testdata/in/CASE (a file or a folder) and compares what
// it says of it with testdata/out/CASE.txt: the problems of reading, else those
// of building the mesh, and the objects that are in force.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/in/*")
	if err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	wanted := map[string]bool{}
	for _, in := range cases {
		name := strings.TrimSuffix(filepath.Base(in), filepath.Ext(in))
		out := filepath.Join("testdata", "out", name+".txt")
		wanted[out] = true
		t.Run(name, func(t *testing.T) { checkGolden(t, out, tell(t, in)) })
	}
	stale, _ := filepath.Glob("testdata/out/*")
	for _, out := range stale {
		if wanted[out] {
			continue
		}
		if !*update {
			t.Errorf("%s belongs to no case: run with -update", out)
		} else if err := os.Remove(out); err != nil {
			t.Error(err)
		}
	}
}

func checkGolden(t *testing.T, path string, got []byte) {
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got\n%s\nwant\n%s", path, got, want)
	}
}

// tell is what is said of a case.
func tell(t *testing.T, in string) []byte {
	dir := in
	if info, err := os.Stat(in); err != nil {
		t.Fatal(err)
	} else if !info.IsDir() {
		dir = t.TempDir()
		raw, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, filepath.Base(in), string(raw))
	}
	var out bytes.Buffer
	d := &decoder{shapes: newShapes(), skipped: func(apiVersion, kind string) { fmt.Fprintf(&out, "skipped: %s %s\n", apiVersion, kind) }}
	got, err := newState(dir, d).look(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got.problems {
		fmt.Fprintln(&out, Describe(p))
	}
	_, _, problems := mesh.NewBuilder(spiffeid.RequireTrustDomainFromString("cluster.local")).Apply(got.update)
	for _, p := range problems {
		fmt.Fprintln(&out, "mesh: "+Describe(p))
	}
	for _, o := range got.update.Upserts {
		fmt.Fprintf(&out, "taken: %s (%T)\n", o.Ref, o.Value)
	}
	return out.Bytes()
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
