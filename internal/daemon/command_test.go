package daemon

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMemoryIsClosedBeforeTheFirstSecretIsRead: even a command line that is
// refused may have named the key-encryption key.
func TestMemoryIsClosedBeforeTheFirstSecretIsRead(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	if code := Main(t.Context(), []string{"--manifests", t.TempDir()}, io.Discard, io.Discard); code != exitUsage {
		t.Fatalf("exit %d, want wrong use", code)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable is %d, %v", dumpable, err)
	}
}
