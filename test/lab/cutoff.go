package lab

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Refusal is when a thief was refused in one way, and with what.
type Refusal struct {
	Hold string `json:"hold"`
	// Silent: it was tried for the first time when the act had returned.
	Silent bool          `json:"silent,omitempty"`
	After  time.Duration `json:"after_ns"` // since the act was ordered
	Why    string        `json:"why"`
}

// Timeline is what followed an act, in the order of the holds.
type Timeline struct {
	// Returned is how long the command took that ordered the act.
	Returned time.Duration `json:"returned_ns"`
	Refusals []Refusal     `json:"refusals"`
}

// refusedWithin is how long a thief may go on before it counts as not refused.
const refusedWithin = 15 * time.Second

// CutOff carries out an act and watches when each hold is refused. Silent holds are
// tried once, when the act has returned: it must have waited until all obey. An
// error says what the thief can still do, or why the act failed.
func CutOff(ctx context.Context, holds []Hold, act func() Result) (Timeline, error) {
	watched, cancel := context.WithTimeout(ctx, refusedWithin)
	defer cancel()
	line := Timeline{Refusals: make([]Refusal, len(holds))}
	errs := make([]error, len(holds))
	var watching sync.WaitGroup
	start := time.Now()
	for i, h := range holds {
		if h.Silent {
			continue
		}
		watching.Go(func() { line.Refusals[i], errs[i] = h.watch(watched, start) })
	}
	result := act()
	line.Returned = time.Since(start)
	for i, h := range holds {
		if !h.Silent {
			continue
		}
		why := h.Try(ctx)
		line.Refusals[i] = Refusal{Hold: h.Name, Silent: true, After: time.Since(start)}
		if why == nil {
			errs[i] = fmt.Errorf("%s: the thief is served after the act returned", h.Name)
			continue
		}
		line.Refusals[i].Why = why.Error()
	}
	watching.Wait()
	if result.Code != 0 {
		return line, fmt.Errorf("%s: exit %d: %s", result.Line, result.Code, result.Output)
	}
	for _, err := range errs {
		if err != nil {
			return line, err
		}
	}
	return line, nil
}

func (h Hold) watch(ctx context.Context, start time.Time) (Refusal, error) {
	at, why := h.Refused(ctx)
	if at.IsZero() {
		return Refusal{Hold: h.Name}, fmt.Errorf("%s: %w", h.Name, why)
	}
	return Refusal{Hold: h.Name, After: at.Sub(start), Why: why.Error()}, nil
}

// Last is when the last of the holds was refused that were in use.
func (t Timeline) Last() time.Duration {
	var last time.Duration
	for _, r := range t.Refusals {
		if !r.Silent {
			last = max(last, r.After)
		}
	}
	return last
}

// String is a table, a hold a line.
func (t Timeline) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, silent := range []bool{false, true} {
		for _, r := range t.Refusals {
			if r.Silent == silent {
				fmt.Fprintf(w, "+%d ms\t%s\t%s\n", r.After.Milliseconds(), r.Hold, r.Why)
			}
		}
		if !silent {
			fmt.Fprintf(w, "+%d ms\tthe command returned; what was silent is tried for the first time\n", t.Returned.Milliseconds())
		}
	}
	w.Flush()
	return strings.TrimRight(text.String(), "\n")
}
