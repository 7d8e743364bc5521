package secrecy

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Keep keeps the memory of this process out of core files, and from other
// processes of the same user. The limit passes on to the processes that it starts
// (the agent's Envoy); a core handler that the kernel pipes to ignores it, which is
// why this process is not dumpable at all (prctl(2), PR_SET_DUMPABLE).
func Keep() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("closing memory to other processes: %w", err)
	}
	return nil
}
