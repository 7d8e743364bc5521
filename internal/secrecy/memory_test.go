package secrecy

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestKeep(t *testing.T) {
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable == 0 {
		t.Skipf("this process is not dumpable to begin with: %d, %v", dumpable, err)
	}
	if err := Keep(); err != nil {
		t.Fatal(err)
	}
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable is %d, %v", dumpable, err)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit != (unix.Rlimit{}) {
		t.Errorf("core files of %+v are allowed, %v", limit, err)
	}
}
