package agent

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestMemoryIsClosedBeforeThereIsAKey(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	config := newControlPlane(t).config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("dumpable is %d, %v", dumpable, err)
	}
}
