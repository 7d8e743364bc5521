package agent

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// keepSecrets keeps the key, which is in our memory and in Envoy's, out of core
// files, and our memory from other processes of the same user. The limit passes
// on to Envoy; a core handler that the kernel pipes to ignores it, which is why we
// are not dumpable at all.
func keepSecrets() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("closing memory to other processes: %w", err)
	}
	return nil
}
