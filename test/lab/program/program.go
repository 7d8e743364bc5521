// Package program runs the server that a test needs as a plain process.
//
//	p := program.Start(t, etcd, "--data-dir", dir) // killed after the test, with all that it started
//	select { case <-p.Done(): … }                  // it ended by itself
//	p.Kill()
//
// A test that fails shows the end of what its programs wrote.
package program

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// shown is how many lines of a program are its tail.
const shown = 40

// Program is one process and its group.
type Program struct {
	ended   chan struct{}
	command *exec.Cmd
	said    output
}

// Start runs a program.
func Start(t testing.TB, path string, arguments ...string) *Program {
	t.Helper()
	p := &Program{ended: make(chan struct{}), command: exec.Command(path, arguments...)}
	p.command.Stdout, p.command.Stderr = &p.said, &p.said
	// A test that is killed cannot clean up: the kernel ends the process then.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The kernel does so already when the thread ends that started it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.command.Start()
		started <- err
		if err == nil {
			_ = p.command.Wait()
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Errorf("killing %s: %v", path, err)
		}
		if t.Failed() {
			t.Logf("%s says:\n%s", filepath.Base(path), p.Tail())
		}
	})
	return p
}

// Done is closed when the process has ended.
func (p *Program) Done() <-chan struct{} { return p.ended }

// Tail is the end of what it has written.
func (p *Program) Tail() string { return p.said.last(shown) }

// Kill ends it and its group as kill -9 does, and waits until it has ended.
func (p *Program) Kill() error {
	select {
	case <-p.ended: // its number may be somebody else's by now
		return nil
	default:
	}
	if err := syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	<-p.ended
	return nil
}

// output is what a program has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

func (o *output) last(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(o.text.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
