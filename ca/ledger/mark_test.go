package ledger_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/ca/ledger"
)

// warnings opens a ledger again, and returns what it warned of.
func warnings(t *testing.T, path string) string {
	t.Helper()
	var said bytes.Buffer
	l, err := ledger.Open(t.Context(), ledger.Config{
		Path: path, Origin: origin, Keys: keys{},
		Logger: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return said.String()
}

func TestAMissingMarkIsWarnedOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	if said := warnings(t, path); said != "" {
		t.Errorf("a new ledger: %s", said)
	}
	l := open(t, path)
	appendAll(t, l, svid(0))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if said := warnings(t, path); said != "" {
		t.Errorf("with its mark: %s", said)
	}
	if err := os.Remove(path + ".checkpoint"); err != nil {
		t.Fatal(err)
	}
	if said := warnings(t, path); !strings.Contains(said, "mark is missing") || !strings.Contains(said, path) {
		t.Errorf("without its mark it said %q", said)
	}
	if said := warnings(t, path); said != "" {
		t.Errorf("the mark was not made again: %s", said)
	}
}

// TestUnfinishedMarksAreSwept: each kill -9 at the wrong moment leaves one.
func TestUnfinishedMarksAreSwept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "l.db")
	left, other := filepath.Join(dir, ".l.db.checkpoint.unfinished-X"), filepath.Join(dir, ".bundle.pem.unfinished-X")
	for _, name := range []string{left, other} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, path)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the unfinished mark is still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("another writer's file: %v", err)
	}
}
