package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Envoy that was told to end and did not is killed after this.
const killAfter = 5 * time.Second

// What an agent says whose adopted Envoy ended by itself: only a parent learns the
// code. One that ended because we asked counts as 0.
const unknownExit = 1

// process is a running Envoy, ours by birth or by adoption.
type process struct {
	pid    int
	signal func(syscall.Signal) error
	// done is closed when it has ended; exit is its code then.
	done    chan struct{}
	exit    int
	adopted bool
}

// command is how Envoy is started.
type command struct {
	path string
	args []string
}

// newCommand adds what the user did not say. Hot restart is off because it shares
// memory by number between all Envoys of a machine; draining begins at once, so that
// a connection ends with its next answer and not by lot.
func newCommand(path, bootstrap, drainSeconds string, extra []string) command {
	args := []string{"-c", bootstrap}
	for _, pair := range [][]string{{"--disable-hot-restart"}, {"--drain-strategy", "immediate"}, {"--drain-time-s", drainSeconds}} {
		given := func(arg string) bool { return arg == pair[0] || strings.HasPrefix(arg, pair[0]+"=") }
		if !slices.ContainsFunc(extra, given) {
			args = append(args, pair...)
		}
	}
	return command{path: path, args: append(args, extra...)}
}

// start runs Envoy in a process group of its own, so that a Ctrl-C in a terminal
// reaches it through us, after the drain.
func (c command) start() (*process, error) {
	cmd := exec.Command(c.path, c.args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting envoy: %w", err)
	}
	p := &process{pid: cmd.Process.Pid, done: make(chan struct{})}
	p.signal = func(s syscall.Signal) error { return cmd.Process.Signal(s) }
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // its error is the exit code, in words
		p.exit = exitCode(cmd.ProcessState)
	}()
	return p, nil
}

// exitCode is Envoy's, or 128 and the signal that ended it, as a shell has it.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// supervise waits for Envoy to end. When stop ends, Envoy drains for a while, is
// asked to end, and is killed if it does not. The code is Envoy's.
func (p *process) supervise(stop context.Context, drain time.Duration, admin *adminPort, logger *slog.Logger) int {
	select {
	case <-p.done:
		logger.Error("envoy ended", "exit_code", p.exit)
		return p.exit
	case <-stop.Done():
	}
	logger.Info("draining envoy", "for", drain)
	if drain > 0 {
		if err := admin.drain(context.WithoutCancel(stop)); err != nil {
			logger.Warn("envoy does not drain", "error", err)
		}
	}
	if asked := p.ended(drain) || p.end(logger); asked && p.adopted {
		return 0
	}
	return p.exit
}

// end asks the process to end, then makes it; false if it had to be made.
func (p *process) end(logger *slog.Logger) (asked bool) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		// An error means that it has ended by itself, which done says too.
		_ = p.signal(signal)
		if p.ended(killAfter) {
			return signal == syscall.SIGTERM
		}
		logger.Warn("envoy goes on after a signal", "signal", signal.String())
	}
	return false
}

// ended waits for the end of the process for at most so long.
func (p *process) ended(within time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(within):
		return false
	}
}
