package lab

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ensign-mesh/ensign/test/lab/load"
)

// Course is a rotation as the lab saw it.
type Course struct {
	Began  time.Time `json:"began"`
	Stages []Stage   `json:"stages"`
	// Ended is the last state.
	Ended Authority `json:"ended"`
}

// Stage is one step of a rotation.
type Stage struct {
	Step     string `json:"step"`
	Reversed bool   `json:"reversed,omitempty"`
	// After is when it was first seen, since the course began.
	After time.Duration `json:"after_ns"`
	// Gate is what its gate said last.
	Gate string `json:"gate"`
	// Handshakes of all Envoys while it lasted, and what they counted of faults.
	Handshakes int64    `json:"handshakes"`
	Faults     []string `json:"faults,omitempty"`
	// Unread is why the counters could not be read; an Envoy may be away.
	Unread string `json:"unread,omitempty"`
}

// Watch follows the first rotation after the one named (empty: any) to its end, and
// reads the counters of every Envoy where one step becomes the next. tell, if not nil,
// hears of each stage when it begins.
func (l *Lab) Watch(ctx context.Context, after string, tell func(Stage)) (Course, error) {
	c := Course{Began: time.Now()}
	zero, unread := l.Zero(ctx)
	closeStage := func() {
		now, err := l.Zero(ctx)
		if n := len(c.Stages); n > 0 {
			c.Stages[n-1].count(zero, now, unread, err)
		}
		zero, unread = now, err
	}
	err := l.Follow(ctx, after, func(a Authority) error {
		r := a.Rotation
		if n := len(c.Stages); n == 0 || c.Stages[n-1].Step != r.Step || c.Stages[n-1].Reversed != r.Reversed {
			closeStage()
			c.Stages = append(c.Stages, Stage{Step: r.Step, Reversed: r.Reversed, After: time.Since(c.Began)})
			if tell != nil {
				tell(c.Stages[n])
			}
		}
		if g := r.Gate; g.Name != "" {
			c.Stages[len(c.Stages)-1].Gate = fmt.Sprintf("%s: %d of %d ready, %d skipped, %d gone", g.Name, g.Ready, g.Instances, g.Skipped, g.Gone)
		}
		c.Ended = a
		return nil
	})
	closeStage()
	return c, err
}

// count is what happened between two readings.
func (s *Stage) count(before, after Zero, errs ...error) {
	for _, err := range errs {
		if err != nil {
			s.Unread = err.Error()
			return
		}
	}
	delta := after.Since(before)
	s.Faults, s.Handshakes = delta.Faults(), delta.Handshakes()
}

// Took is how long the rotation took.
func (c Course) Took() time.Duration {
	if len(c.Stages) == 0 {
		return 0
	}
	return c.Stages[len(c.Stages)-1].After - c.Stages[0].After
}

// name is a stage for people.
func (s Stage) name() string {
	if s.Reversed {
		return s.Step + " (back)"
	}
	return s.Step
}

// String is a table, a stage a line.
func (c Course) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AFTER\tSTEP\tGATE\tHANDSHAKES\tFAULTS")
	for _, s := range c.Stages {
		faults := "none"
		switch {
		case s.Unread != "":
			faults = "not read: " + firstLine(s.Unread)
		case len(s.Faults) > 0:
			faults = strings.Join(s.Faults, "; ")
		}
		gate := s.Gate
		if gate == "" {
			gate = "-"
		}
		fmt.Fprintf(w, "%.2f s\t%s\t%s\t%d\t%s\n", s.After.Seconds(), s.name(), gate, s.Handshakes, faults)
	}
	w.Flush()
	return strings.TrimRight(text.String(), "\n")
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// Beside lays loads that were cut into slices beside the steps, a slice a line: what
// was sent and failed, and the slowest.
func (c Course) Beside(slice time.Duration, loads ...load.Report) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AFTER\tSTEP\tSENT\tFAILED\tSLOWEST")
	for at := time.Duration(0); ; at += slice {
		var sum load.Slice
		more := false
		for _, r := range loads {
			// A load begins at a time of its own: which of its slices is this?
			i := int((at + c.Began.Sub(r.Began)) / slice)
			more = more || i < len(r.Slices)
			if i >= 0 && i < len(r.Slices) {
				one := r.Slices[i]
				sum = load.Slice{Sent: sum.Sent + one.Sent, Failed: sum.Failed + one.Failed, Max: max(sum.Max, one.Max)}
			}
		}
		if !more {
			break
		}
		fmt.Fprintf(w, "%.1f s\t%s\t%d\t%d\t%s\n", at.Seconds(), c.during(at, slice), sum.Sent, sum.Failed, sum.Max.Round(100*time.Microsecond))
	}
	w.Flush()
	return strings.TrimRight(text.String(), "\n")
}

// during names the steps that began in a slice, or the one that lasted.
func (c Course) during(from, slice time.Duration) string {
	lasting, begun := "-", []string{}
	for _, s := range c.Stages {
		switch {
		case s.After <= from:
			lasting = s.name()
		case s.After <= from+slice:
			begun = append(begun, "→ "+s.name())
		}
	}
	if len(begun) > 0 {
		return strings.Join(begun, " ")
	}
	return lasting
}
