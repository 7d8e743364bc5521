package structure

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ensign-mesh/ensign/"

// allowed says what of ours each package may import. A trailing "/..." covers
// the packages below. What is not listed may import nothing of ours.
var allowed = map[string][]string{
	"identity":          {},
	"identity/...":      {"identity"},
	"ca":                {"identity"},
	"ca/internal/...":   {"ca", "identity", "ca/internal/durable"},
	"ca/ledger":         {"ca", "identity", "ca/internal/durable", "ca/internal/groupcommit", "ca/internal/sqlite", "ca/ledger/audit", "ca/ledger/export"},
	"ca/ledger/audit":   {"ca"},
	"ca/upstream":       {"ca", "ca/rotation", "ca/internal/durable"},
	"ca/upstream/vault": {"ca", "ca/rotation"},
	"ca/...":            {"ca", "identity", "ca/internal/durable", "ca/internal/groupcommit", "ca/internal/sqlite"},
	"authz":             {"identity"},
	"mesh":              {"identity", "authz"},
	"mesh/...":          {"mesh"},
	"xds/build":         {"mesh", "authz", "identity"},
	"xds":               {"xds/build", "mesh", "identity"},
	"sds":               {"identity", "internal/peercred"},

	"internal/api/ensign/v1": {},
	"internal/need":          {},
	"internal/peercred":      {},
	"internal/secrecy":       {},
	"internal/edge":          {"identity", "ca/server"},
	"internal/agents":        {"identity", "ca/report", "internal/api/ensign/v1"},
	"internal/connections":   {},
	"internal/inventory":     {"ca", "ca/report", "identity"},
	"internal/agent":         {"sds", "identity", "internal/connections", "internal/api/ensign/v1", "internal/peercred", "internal/secrecy"},
	"internal/admin":         {"*"},
	"internal/daemon":        {"*"},
	"internal/cli":           {"ca", "ca/keystore", "ca/ledger", "ca/ledger/audit", "internal/api/ensign/v1"},
	"cmd/...":                {"internal/agent", "internal/cli", "internal/daemon"},
	"examples/...":           {"test/lab", "test/lab/load", "test/lab/netns", "internal/need"},
	"test/...":               {"*"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	var list []listed
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// rule is the most specific entry for a package.
func rule(name string) []string {
	if arrows, ok := allowed[name]; ok {
		return arrows
	}
	for parent := name; strings.Contains(parent, "/"); {
		parent = parent[:strings.LastIndex(parent, "/")]
		if arrows, ok := allowed[parent+"/..."]; ok {
			return arrows
		}
	}
	return nil
}

// strays are the imports of ours that no rule allows.
func strays(p listed) []string {
	name := strings.TrimPrefix(p.ImportPath, module)
	arrows := rule(name)
	var found []string
	for _, imported := range p.Imports {
		ours, ok := strings.CutPrefix(imported, module)
		if ok && !slices.Contains(arrows, "*") && !slices.Contains(arrows, ours) {
			found = append(found, ours)
		}
	}
	return found
}

func TestImportsFollowTheMap(t *testing.T) {
	for _, p := range packages(t) {
		for _, stray := range strays(p) {
			t.Errorf("%s imports %s: not in the map of docs/architecture.md", p.ImportPath, stray)
		}
	}
}

func TestAStrayImportIsSeen(t *testing.T) {
	p := listed{ImportPath: module + "ca", Imports: []string{module + "identity", module + "mesh", "fmt"}}
	if got := strays(p); !slices.Equal(got, []string{"mesh"}) {
		t.Errorf("strays %v, want mesh", got)
	}
	unknown := listed{ImportPath: module + "nowhere", Imports: []string{module + "identity"}}
	if got := strays(unknown); len(got) != 1 {
		t.Errorf("a package without a rule may import %v", got)
	}
}

// pure packages decide; what they decide about reaches them as plain values.
var pure = map[string][]string{
	"identity": {"k8s.io/", "istio.io/", "github.com/envoyproxy/", "google.golang.org/grpc"},
	"ca":       {"k8s.io/", "istio.io/", "github.com/envoyproxy/", "google.golang.org/grpc"},
	"authz":    {"k8s.io/", "istio.io/", "github.com/envoyproxy/", "google.golang.org/grpc"},
}

func TestLeavesStayPure(t *testing.T) {
	for _, p := range packages(t) {
		for _, foreign := range pure[strings.TrimPrefix(p.ImportPath, module)] {
			for _, imported := range p.Imports {
				if strings.HasPrefix(imported, foreign) {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
			}
		}
	}
}
