package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestAnInterruptedFileIsNotThere: what was there stays, and nothing is left beside it.
func TestAnInterruptedFileIsNotThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "record")
	if err := replaceFile(path, "old"); err != nil {
		t.Fatal(err)
	}
	err := replaceBy(path, func(w io.Writer) error {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			return err
		}
		return context.Canceled
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the interruption", err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != "old" {
		t.Errorf("read %q, %v", text, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}
