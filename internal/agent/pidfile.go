package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// envoyRecord says which process is the Envoy of a run folder. A number alone
// would not: numbers are used again.
type envoyRecord struct {
	PID int `json:"pid"`
	// Started is in clock ticks since the boot that Boot names.
	Started uint64 `json:"started"`
	Boot    string `json:"boot"`
	// Device and Inode are of the binary that runs.
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// Command is a hash of the command line, the binary and the bootstrap.
	Command string `json:"command"`
}

// recordOf describes a running process.
func recordOf(pid int) (envoyRecord, error) {
	r := envoyRecord{PID: pid}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return r, err
	}
	r.Boot = strings.TrimSpace(string(boot))
	if r.Started, err = startTicks(pid); err != nil {
		return r, err
	}
	var binary syscall.Stat_t
	if err := syscall.Stat(fmt.Sprintf("/proc/%d/exe", pid), &binary); err != nil {
		return r, err
	}
	r.Device, r.Inode = binary.Dev, binary.Ino
	return r, nil
}

// startTicks is field 22 of /proc/PID/stat; the second may hold blanks and brackets.
func startTicks(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	if fields[0] == "Z" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// fingerprint of what is to run: another binary, argument or bootstrap is another Envoy.
func (c command) fingerprint(bootstrap []byte) (string, error) {
	var binary syscall.Stat_t
	if err := syscall.Stat(c.path, &binary); err != nil {
		return "", fmt.Errorf("looking at %s: %w", c.path, err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %d %d %q", c.path, c.args, binary.Dev, binary.Ino, bootstrap))
	return hex.EncodeToString(sum[:]), nil
}

func writeRecord(path string, pid int, command string) error {
	r, err := recordOf(pid)
	if err != nil {
		return fmt.Errorf("describing process %d: %w", pid, err)
	}
	r.Command = command
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return writeFile(path, append(text, '\n'))
}

// orphan is the Envoy that an earlier agent of this folder left running, with the
// hash of its command; nil if there is none.
func orphan(path string) (*process, string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", path, err)
	}
	var recorded envoyRecord
	if err := json.Unmarshal(text, &recorded); err != nil || recorded.PID <= 1 {
		return nil, "", fmt.Errorf("reading %s: not a record of an Envoy: stop the Envoy of this folder, then remove the file", path)
	}
	// First the handle, then the look: from here on the number cannot change hands.
	handle, err := unix.PidfdOpen(recorded.PID, 0)
	if err != nil {
		return nil, "", nil
	}
	command := recorded.Command
	recorded.Command = ""
	if running, err := recordOf(recorded.PID); err != nil || running != recorded {
		return nil, "", unix.Close(handle)
	}
	return adopt(recorded.PID, handle), command, nil
}

// adopt watches a process that is not our child.
func adopt(pid, handle int) *process {
	p := &process{pid: pid, done: make(chan struct{}), exit: unknownExit, adopted: true}
	p.signal = func(s syscall.Signal) error { return unix.PidfdSendSignal(handle, s, nil, 0) }
	go func() {
		defer close(p.done)
		for {
			// A time limit only so that an odd kernel cannot hold us for ever.
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, int(time.Minute/time.Millisecond))
			if n > 0 || (err != nil && !errors.Is(err, unix.EINTR)) {
				return
			}
		}
	}()
	return p
}
