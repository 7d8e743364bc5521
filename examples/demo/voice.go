package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// shownLines is how much of a command's output the terminal gets; the report
// gets all.
const shownLines = 24

// voice prints the story. Lines that begin with $ are commands to type again.
type voice struct{ out io.Writer }

func newVoice(out io.Writer) *voice { return &voice{out: out} }

// scene is what a chapter works with: its commands are shown and recorded.
type scene struct {
	*lab.Lab
	voice    *voice
	commands []lab.Result
}

// show prints a command and its answer, and records both.
func (s *scene) show(r lab.Result) lab.Result {
	s.commands = append(s.commands, r)
	lines := strings.Split(r.Output, "\n")
	if len(lines) > shownLines {
		lines = append(lines[:shownLines], fmt.Sprintf("… %d more lines in the report", len(lines)-shownLines))
	}
	fmt.Fprintf(s.voice.out, "  $ %s\n", r.Line)
	for _, line := range lines {
		if line != "" {
			fmt.Fprintf(s.voice.out, "    %s\n", line)
		}
	}
	if r.Code != 0 {
		fmt.Fprintf(s.voice.out, "    [exit %d]\n", r.Code)
	}
	return r
}

// note prints and records something that was done without a command.
func (s *scene) note(line, output string) {
	s.show(lab.Result{Line: line, Output: output})
}

// ensign runs and shows the CLI.
func (s *scene) ensign(ctx context.Context, args ...string) lab.Result {
	return s.show(s.Ensign(ctx, args...))
}

// live runs the CLI and shows what it says as it comes, with the seconds since it began.
func (s *scene) live(ctx context.Context, args ...string) lab.Result {
	fmt.Fprintf(s.voice.out, "  $ ensign %s\n", strings.Join(args, " "))
	r := s.EnsignLive(ctx, &clocked{out: s.voice.out, began: time.Now(), fresh: true}, args...)
	s.commands = append(s.commands, r)
	if r.Code != 0 {
		fmt.Fprintf(s.voice.out, "    [exit %d]\n", r.Code)
	}
	return r
}

// clocked writes each line behind the seconds since it began.
type clocked struct {
	out   io.Writer
	began time.Time
	fresh bool // a line begins
}

func (c *clocked) Write(text []byte) (int, error) {
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if c.fresh {
			fmt.Fprintf(&out, "    %5.1f s  ", time.Since(c.began).Seconds())
		}
		out.WriteString(line)
		c.fresh = strings.HasSuffix(line, "\n")
	}
	_, err := io.WriteString(c.out, out.String())
	return len(text), err
}

// in runs and shows a command inside a pod.
func (s *scene) in(ctx context.Context, pod string, args ...string) lab.Result {
	return s.show(s.Pod(pod).Exec(ctx, args...))
}

func (v *voice) chapter(ctx context.Context, l *lab.Lab, n int, c chapter) step {
	start := time.Now()
	fmt.Fprintf(v.out, "\n%d. %s\n", n, c.title)
	sc := &scene{Lab: l, voice: v}
	reason, err := c.tell(ctx, sc)
	s := step{Number: n, Title: c.title, Commands: sc.commands, Verdict: holds, Reason: reason, Seconds: time.Since(start).Seconds()}
	if err != nil {
		s.Verdict, s.Reason = doesNotHold, err.Error()
	}
	fmt.Fprintf(v.out, "  => %s: %s\n", s.Verdict, s.Reason)
	return s
}

func (v *voice) summary(r *report, path string) {
	fmt.Fprintf(v.out, "\n%d of %d steps hold, after %.0f s; all of it is in %s\n", len(r.Steps)-r.failed(), len(r.Steps), r.Seconds, path)
	for _, s := range r.Steps {
		if s.Verdict != holds {
			fmt.Fprintf(v.out, "  %d. %s: %s\n", s.Number, s.Title, s.Reason)
		}
	}
}

func (v *voice) kept(l *lab.Lab) {
	reader := l.Pod("reader").Net.Name
	fmt.Fprintf(v.out, `
The mesh stays up. To look around:
  export ENSIGN_DATA=%s
  bin/ensign proxy status
  bin/ensign proxy config shop/reader clusters
  ip netns exec %s curl -s %s
  ip netns exec %s curl -s 127.0.0.1:15000/config_dump
  edit the YAML in %s; the mesh follows
  logs are in %s
To remove it: make demo-clean
`, l.Control.Data, reader, lab.BookURL, reader, l.Manifests(), l.Net.Logs())
}
