package structure

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

func TestEveryDirectDependencyHasAReason(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	reasons, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range file.Require {
		if !r.Indirect && !strings.Contains(string(reasons), r.Mod.Path) {
			t.Errorf("%s has no line in docs/dependencies.md", r.Mod.Path)
		}
	}
}
