package need

import (
	"os"
	"path/filepath"
	"testing"
)

// Programs is the folder of the built programs: $ENSIGN_BIN, else bin of this
// checkout. Each name must be there.
func Programs(t testing.TB, names ...string) string {
	t.Helper()
	dir := os.Getenv("ENSIGN_BIN")
	if dir == "" {
		dir = filepath.Join(Tree(t), "bin")
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			skip(t, "no "+name+" in "+dir+": run `make build bookshop`")
		}
	}
	return dir
}

// Tree is the checkout's folder: the one above the test's that holds go.mod.
func Tree(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("no go.mod above the test: %v", err)
	return ""
}
