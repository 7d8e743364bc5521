package lab

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Shell is one bash on the machine of ensignd, for who types as a person does: the lab's
// programs are in its PATH, and $DATA, $KEK, $MANIFESTS, $FLAGS, $LOG and $ENSIGND_PID are
// those of ensignd. What it starts in the background ends with it.
type Shell struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	said   chan string
	closed chan struct{}
	mark   string
}

// typist has commands come by another way than the standard input of what they run.
const typist = `exec 3<&0 </dev/null
while IFS= read -r -u 3 line; do eval "$line"; printf '\n%s %d\n' "$0" $?; done`

// Shell opens one in a folder, with further variables NAME=VALUE.
func (c *Control) Shell(dir string, variables ...string) (*Shell, error) {
	s := &Shell{mark: rand.Text(), said: make(chan string), closed: make(chan struct{})}
	argv := c.Net.Command(0, "bash", "--norc", "--noprofile", "-c", typist, s.mark)
	s.cmd = exec.Command(argv[0], argv[1:]...)
	s.cmd.Dir = dir
	path := c.lab.bin
	if c.lab.Vault != nil {
		path += ":" + c.lab.Vault.Bin()
	}
	s.cmd.Env = append(os.Environ(), "PATH="+path+":"+os.Getenv("PATH"), "HOME="+dir,
		"DATA="+c.Data, "KEK="+c.kek, "MANIFESTS="+c.lab.manifests, "FLAGS="+strings.Join(c.flags, " "),
		"LOG="+c.Process().Log, "ENSIGND_PID="+strconv.Itoa(c.Process().PID))
	s.cmd.Env = append(s.cmd.Env, variables...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = s.cmd.Stdout
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a shell: %w", err)
	}
	go s.listen(out)
	return s, nil
}

// Type runs one line and waits for its end. When ctx ends first, the line goes on, and
// nothing more can be typed.
func (s *Shell) Type(ctx context.Context, line string) (Result, error) {
	r := Result{Line: line}
	if _, err := fmt.Fprintln(s.in, line); err != nil {
		return r, fmt.Errorf("typing %q: %w", line, err)
	}
	var text strings.Builder
	for {
		select {
		case <-ctx.Done():
			return r, errors.Join(fmt.Errorf("typing %q: %w; it said: %s", line, ctx.Err(), &text), s.in.Close())
		case l, more := <-s.said:
			if !more {
				return r, fmt.Errorf("typing %q: the shell has ended; it said: %s", line, &text)
			}
			if code, ok := strings.CutPrefix(l, s.mark+" "); ok {
				r.Output = strings.TrimSpace(text.String())
				var err error
				r.Code, err = strconv.Atoi(code)
				return r, err
			}
			text.WriteString(l + "\n")
		}
	}
}

// listen passes on what is said, until the shell and all that it started have ended.
func (s *Shell) listen(out io.Reader) {
	defer close(s.said)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		select {
		case s.said <- lines.Text():
		case <-s.closed:
			return
		}
	}
}

// Close ends the shell and all that it started.
func (s *Shell) Close() error {
	close(s.closed)
	err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Wait() // it was killed
	return err
}
