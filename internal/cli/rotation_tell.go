package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	// Laggards that a drawing names.
	drawnLaggards = 8
	// Laggards that a line names.
	lineLaggards = 3
	// Between two lines that differ in counts only.
	countsEvery = time.Second
)

// newTeller draws on a terminal, and writes a line for each change elsewhere.
func newTeller(out io.Writer, lines func(authority) []line) teller {
	if s := newScreen(out); s != nil {
		return &drawing{screen: s, lines: lines}
	}
	return &lineByLine{out: out}
}

// drawing is one block on a terminal that is drawn over.
type drawing struct {
	screen *screen
	lines  func(authority) []line
}

func (d *drawing) tell(a authority, away error) error {
	lines := d.lines(a)
	if away != nil {
		lines = append(lines, nil, text(styleWarn, "  ensignd is away, waiting for it: %v", away))
	}
	return d.screen.draw(lines)
}

// rotationOnly draws the rotation and what can be done about it.
func rotationOnly(a authority) []line {
	if a.Rotation == nil {
		return nil
	}
	lines := append([]line{nil}, a.Rotation.lines(a.at, drawnMarks, drawnLaggards)...)
	lines = append(lines, a.introductionLines(drawnMarks.indent())...)
	if a.Rotation.running() {
		lines = append(lines, nil, text(styleDim, "  Ctrl-C leaves it running; ensign ca pause halts it, ensign ca rollback undoes it"))
	}
	return append(lines, nil)
}

// wholeStatus draws all of `ca status`.
func wholeStatus(a authority) []line { return a.lines(drawnMarks, drawnLaggards) }

// lineByLine is for logs and pipes: one line for each change.
type lineByLine struct {
	out io.Writer
	// written is the last line, head what of it is told at once, at when.
	written, head string
	at            time.Time
}

func (l *lineByLine) tell(a authority, away error) error {
	head, counts := a.Rotation.line(a.at)
	if told := a.introducing(); told != "" && a.Rotation.running() {
		counts += "; " + printable(told)
	}
	if away != nil {
		head, counts = "ensignd is away, waiting for it: "+printable(away.Error()), ""
	}
	whole := head + counts
	if whole == l.written || (head == l.head && time.Since(l.at) < countsEvery && a.Rotation.running()) {
		return nil
	}
	l.written, l.head, l.at = whole, head, time.Now()
	_, err := fmt.Fprintf(l.out, "%s %s\n", dash(stamp(a.at)), whole)
	return err
}

// line is where a rotation stands: what is told at once, and what may wait a second.
func (r *rotation) line(now time.Time) (head, counts string) {
	switch {
	case r == nil:
		return "no rotation runs", ""
	case !r.running():
		return printable(fmt.Sprintf("%s %s after %s", r.headline(), strings.ReplaceAll(r.Outcome, "-", " "), r.took(now))), ""
	}
	head = r.headline() + "  " + r.Step
	if r.Paused {
		head += ", paused"
	}
	if r.Problem != "" {
		head += ", tried and failed, and is tried again: " + r.Problem
	}
	if r.Gate == nil {
		return printable(head), ""
	}
	counts = ": " + r.progress()
	if r.Gate.Waiting > 0 {
		var names []string
		for _, l := range r.Gate.Laggards[:min(lineLaggards, len(r.Gate.Laggards))] {
			names = append(names, l.Name)
		}
		if more := int(r.Gate.Waiting) - len(names); more > 0 {
			names = append(names, fmt.Sprintf("%d more", more))
		}
		counts += "; waiting for " + strings.Join(names, ", ")
	}
	return printable(head), printable(counts)
}

// documents writes each change as a JSON object a line, or a YAML document.
type documents struct {
	printer printer
	written string
}

func (d *documents) tell(a authority, away error) error {
	now := a.Now
	a.Now = ""
	same, err := json.Marshal(a)
	if err != nil || away != nil || string(same) == d.written {
		return err
	}
	d.written, a.Now = string(same), now
	var whole []byte
	if d.printer.format == "yaml" {
		whole, err = yaml.Marshal(a)
		whole = append([]byte("---\n"), whole...)
	} else {
		whole, err = json.Marshal(a)
		whole = append(whole, '\n')
	}
	if err == nil {
		_, err = d.printer.out.Write(whole)
	}
	return err
}
