package netns

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

//go:embed reap.sh
var reapScript string

// states is where each network notes its owner, for a later Sweep.
const states = "/run/ensign-lab"

// state is what a stranger must know to remove a network.
type state struct {
	ID    string `json:"id"`
	Owner int    `json:"owner"`
	// Start is the owner's start time, so that a reused process number is not
	// taken for the owner.
	Start string `json:"start"`
	Dir   string `json:"dir"`
	Kept  bool   `json:"kept"`
}

func writeState(s state) error {
	if err := os.MkdirAll(states, 0o755); err != nil {
		return fmt.Errorf("noting the lab's owner: %w", err)
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := filepath.Join(states, s.ID+".json")
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("noting the lab's owner: %w", err)
	}
	return os.Rename(path+".new", path)
}

// Sweep removes every network whose owner is dead and that was not left up on
// purpose.
func Sweep(ctx context.Context) error {
	return removeWhere(ctx, func(s state) bool { return !s.Kept && startTime(s.Owner) != s.Start })
}

// Clean removes what Sweep does, and the networks that were left up on purpose:
// those of the given IDs, or all.
func Clean(ctx context.Context, ids ...string) error {
	err := removeWhere(ctx, func(s state) bool {
		return s.Kept && (len(ids) == 0 || slices.Contains(ids, s.ID))
	})
	return errors.Join(err, Sweep(ctx))
}

func removeWhere(ctx context.Context, doomed func(state) bool) error {
	files, err := filepath.Glob(filepath.Join(states, "*.json"))
	if err != nil {
		return err
	}
	var failed []error
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var s state
		if err := errors.Join(err, json.Unmarshal(data, &s)); err != nil {
			failed = append(failed, fmt.Errorf("reading %s: %w", file, err))
			continue
		}
		if doomed(s) {
			failed = append(failed, reap(s.ID, s.Dir))
		}
	}
	return errors.Join(failed...)
}

// reap removes one network now. It is not bound to a context: it must run
// exactly when everything else has been cancelled.
func reap(id, dir string) error {
	out, err := exec.Command("bash", "-c", reapScript, "ensign-lab", id, dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("removing lab %s: %w: %s", id, err, out)
	}
	return nil
}

// startTime is field 22 of /proc/PID/stat; "" when there is no such process.
func startTime(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field may hold spaces; it ends with the last parenthesis.
	_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')'):]), " ")
	if fields := strings.Fields(rest); len(fields) > 19 {
		return fields[19]
	}
	return ""
}

// guard removes the network when this process goes without doing so.
type guard struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
}

func startGuard(id, dir string) (*guard, error) {
	cmd := exec.Command("bash", "-c", reapScript, "ensign-lab", id, dir, "guard")
	// A session of its own: Ctrl-C must not reach it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the lab's guard: %w", err)
	}
	return &guard{cmd: cmd, stdin: stdin}, nil
}

// dismiss tells the guard that there is nothing left to do.
func (g *guard) dismiss() error {
	if g == nil || g.stdin == nil {
		return nil
	}
	_, err := io.WriteString(g.stdin, "dismissed\n")
	err = errors.Join(err, g.stdin.Close(), g.cmd.Wait())
	g.stdin = nil
	return err
}
