package need_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
)

func TestTreeHoldsThisPackage(t *testing.T) {
	if _, err := os.Stat(filepath.Join(need.Tree(t), "internal", "need", "programs.go")); err != nil {
		t.Error(err)
	}
}

func TestAMissingProgramSkipsOutsideOfCI(t *testing.T) {
	t.Setenv("CI", "")
	t.Setenv("ENSIGN_BIN", t.TempDir())
	skipped := false
	t.Run("inner", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		need.Programs(t, "ensignd")
	})
	if !skipped {
		t.Error("went on without the program")
	}
}

func TestAFoundProgramGivesItsFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ensignd"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ENSIGN_BIN", dir)
	if got := need.Programs(t, "ensignd"); got != dir {
		t.Errorf("got %s", got)
	}
}
