package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ProxyUID is the user whose traffic is not captured.
const ProxyUID = 1337

// grace is how long a process may take over its end before it is killed.
const grace = time.Second

// Spec describes a process of a namespace.
type Spec struct {
	// Name is the log's, without its ending.
	Name string
	Argv []string
	// UID is also the group. 0 stays root.
	UID int
	Env []string
}

// Process is a program that runs in a namespace, in a process group of its own.
type Process struct {
	Name string
	PID  int
	Log  string

	cmd  *exec.Cmd
	done chan struct{}
}

// Command is how a person would run argv as uid inside the namespace.
func (s *Namespace) Command(uid int, argv ...string) []string {
	line := []string{"ip", "netns", "exec", s.Name}
	if uid != 0 {
		id := strconv.Itoa(uid)
		line = append(line, "setpriv", "--reuid="+id, "--regid="+id, "--clear-groups", "--")
	}
	return append(line, argv...)
}

// Start runs a process; its output goes to a log that a restart appends to.
func (s *Namespace) Start(spec Spec) (*Process, error) {
	if spec.Name == "" || strings.Contains(spec.Name, "/") {
		return nil, fmt.Errorf("process name %q: want a file name", spec.Name)
	}
	p := &Process{
		Name: spec.Name,
		Log:  filepath.Join(s.network.Logs(), spec.Name+".log"),
		done: make(chan struct{}),
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening log: %w", err)
	}
	defer log.Close()
	argv := s.Command(spec.UID, spec.Argv...)
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir = s.network.dir
	p.cmd.Env = append(os.Environ(), spec.Env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	// `ip netns exec` and setpriv replace themselves: the number stays.
	p.PID = p.cmd.Process.Pid
	go func() { p.cmd.Wait(); close(p.done) }()
	s.mu.Lock()
	s.processes = append(s.processes, p)
	s.mu.Unlock()
	return p, nil
}

// Processes are those that were started and have not ended.
func (s *Namespace) Processes() []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = slices.DeleteFunc(s.processes, func(p *Process) bool { return p.ended() })
	return slices.Clone(s.processes)
}

func (s *Namespace) stopAll() {
	for _, p := range s.Processes() {
		_ = p.Signal(syscall.SIGTERM)
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	for _, p := range s.Processes() {
		_ = p.Wait(ctx)
		// The rest of its group too: an agent's Envoy must not outlive it.
		_ = syscall.Kill(-p.PID, syscall.SIGKILL)
	}
}

// Signal sends to the process alone, not to its group.
func (p *Process) Signal(sig syscall.Signal) error {
	if p.ended() {
		return os.ErrProcessDone
	}
	return syscall.Kill(p.PID, sig)
}

// Kill ends the whole group at once and waits for the process.
func (p *Process) Kill() error {
	err := syscall.Kill(-p.PID, syscall.SIGKILL)
	<-p.done
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// Stop asks the process to end, and kills its group when ctx is done first.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return nil
	}
	if err := p.Wait(ctx); err != nil {
		return errors.Join(fmt.Errorf("waiting for %s to end: %w", p.Name, err), p.Kill())
	}
	return nil
}

// Wait returns when the process has ended, or with ctx's error.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is -1 while it runs and when a signal ended it.
func (p *Process) ExitCode() int {
	if !p.ended() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Tail is the end of the log, for an error message.
func (p *Process) Tail() string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
