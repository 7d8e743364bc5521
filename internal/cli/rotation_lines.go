package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// steps of a rotation in their order.
var steps = []string{"preparing", "distributing", stepActivating, "retiring", "done"}

// marks are how steps are ticked off: on a terminal, and elsewhere.
type marks struct {
	done, now, later string
	// full and empty parts of the bar; no bar without.
	full, empty string
}

var (
	drawnMarks = marks{done: "✓", now: "●", later: "○", full: "━", empty: "╌"}
	plainMarks = marks{done: "[x]", now: "[>]", later: "[ ]"}
)

// indent is what stands under a step's name.
func (m marks) indent() string { return strings.Repeat(" ", 3+utf8.RuneCountInString(m.now)) }

// barWidth is in characters.
const barWidth = 40

// label names a root by its place and name there.
func (r rootStatus) label() string {
	if r.Place == "" {
		return "the new root"
	}
	if r.Name == "" {
		return r.Place
	}
	return r.Place + "/" + r.Name
}

// running says whether there is something to follow.
func (r *rotation) running() bool { return r != nil && r.Outcome == outcomeRunning }

// past is a rotation that has ended, in one line.
func (r rotation) past(now time.Time) string {
	if r.Outcome == outcomeRolledBack {
		told := fmt.Sprintf("%s rolled back %s%s", r.ID, r.Since, after(" ", r.whyBack()))
		if r.To.Place == "" {
			return told + ": before there was a new root, " + r.From.label() + " signs as before"
		}
		return told + ": " + r.From.label() + " → " + r.To.label() + ", took " + r.took(now)
	}
	return fmt.Sprintf("%s %s %s: %s → %s, took %s, by %s%s",
		r.ID, r.Outcome, r.Since, r.From.label(), r.To.label(), r.took(now), r.Actor, after(": ", r.Reason))
}

// headline is what rotates into what, and how that ended.
func (r rotation) headline() string {
	verb := "rotation "
	if r.Reversed {
		verb = "rollback of "
	}
	return verb + r.ID + "  " + r.From.label() + " → " + r.To.label()
}

// lines draw a rotation: its steps, what it waits for, and for whom.
func (r rotation) lines(now time.Time, m marks, most int) []line {
	title := line{{styleBold, printable(r.headline())}, {styleDim, "  " + r.took(now)}}
	if r.Compromised {
		title = append(title, span{styleBad, "  COMPROMISED"})
	}
	lines := append([]line{title, r.terms(), nil}, r.stepLines(now, m)...)
	for _, e := range r.Timeline {
		if e.Verb == "skip" {
			lines = append(lines, text(styleWarn, "%spassed without %s", m.indent(), e.Detail))
		}
	}
	if r.Paused {
		lines = append(lines, text(styleWarn, "%spaused: `ensign ca resume` goes on, `ensign ca rollback` goes back", m.indent()))
	}
	if r.Problem != "" {
		lines = append(lines, text(styleBad, "%stried and failed, and is tried again: %s", m.indent(), r.Problem))
	}
	return append(lines, r.waitingLines(now, most)...)
}

// terms are what was chosen, by whom and why.
func (r rotation) terms() line {
	window := "-"
	if d, err := time.ParseDuration(r.Window); err == nil {
		window = roughly(d)
	}
	return text(styleDim, "  window %s, laggards %s, by %s%s", window, r.Laggards, dash(r.Actor), after(": ", r.Reason))
}

func (r rotation) stepLines(now time.Time, m marks) []line {
	entered, current := r.entered(), slices.Index(steps, r.Step)
	var lines []line
	for i, name := range steps {
		if i < r.firstStep() {
			continue
		}
		took := ""
		if begun, ok := entered[name]; ok && i < len(steps)-1 {
			took = roughly(r.leftAt(i, entered, now).Sub(begun))
		}
		row := func(style, markStyle, mark, what string) line {
			return line{{markStyle, "  " + mark + " "}, {style, printable(strings.TrimRight(fmt.Sprintf("%-13s %-8s %s", name, took, what), " "))}}
		}
		switch {
		case i < current || r.Step == "done":
			lines = append(lines, row(styleNone, styleGood, m.done, r.happens(i)))
		case i == current:
			lines = append(lines, row(styleBold, styleWarn, m.now, r.progress()))
			lines = append(lines, r.bar(now, m)...)
		default:
			lines = append(lines, row(styleDim, styleDim, m.later, r.happens(i)))
		}
	}
	return lines
}

// happens is what a step is about.
func (r rotation) happens(step int) string {
	return []string{
		r.To.label() + " is made", "all trust both roots", r.To.label() + " signs, SVIDs are renewed",
		r.From.label() + " is trusted no more", "",
	}[step]
}

// counted are those for whom a gate opens; all of them in the end.
func (g *gate) counted() uint32 { return g.Ready + g.Skipped + g.Waiting }

// progress is how far the step is, in words.
func (r rotation) progress() string {
	g := r.Gate
	switch {
	case g == nil && r.Step == steps[0]:
		return "the new root is being made"
	case g == nil:
		return "who has to follow is being looked at"
	}
	what := map[string]string{
		"new-bundle": "trust both roots", "new-root": "live on " + r.To.label(), "old-root-gone": "trust " + r.To.label() + " alone",
	}[g.Name]
	told := fmt.Sprintf("%d of %d %s", g.Ready, g.counted(), what)
	for _, more := range []struct {
		n    uint32
		what string
	}{{g.Skipped, "passed over"}, {g.Unverifiable, "without any report"}, {g.Gone, "gone and not waited for"}} {
		if more.n > 0 {
			told += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	return told
}

// bar is the gate as a picture, and until when renewals are asked for.
func (r rotation) bar(now time.Time, m marks) []line {
	var l line
	if g := r.Gate; m.full != "" && g != nil && g.counted() > 0 {
		done := int(uint64(barWidth) * uint64(g.Ready+g.Skipped) / uint64(g.counted()))
		l = append(l, span{styleGood, m.indent() + strings.Repeat(m.full, done)}, span{styleDim, strings.Repeat(m.empty, barWidth-done)})
	}
	if r.Step == stepActivating && r.renewals.After(now) {
		l = append(l, span{styleDim, m.indent() + "renewals until " + until(now, r.renewals)})
	}
	if l == nil {
		return nil
	}
	return []line{l}
}

// waitingLines name who keeps the gate, most of them at most.
func (r rotation) waitingLines(now time.Time, most int) []line {
	if r.Gate == nil || r.Gate.Waiting == 0 || !r.running() {
		return nil
	}
	lines := []line{nil, {{styleBold, fmt.Sprintf("  waiting for %d", r.Gate.Waiting)}, {styleDim, r.patience()}}}
	shown := r.Gate.Laggards[:min(most, len(r.Gate.Laggards))]
	if len(shown) == 0 {
		return lines
	}
	rows := []row{laggingHeader}
	for _, l := range shown {
		rows = append(rows, l.row(now))
	}
	for i, l := range columns(rows) {
		style := styleNone
		if i == 0 {
			style = styleDim
		}
		lines = append(lines, text(style, "    %s", l))
	}
	switch more := int(r.Gate.Waiting) - len(shown); {
	case more > 0 && len(shown) < len(r.Gate.Laggards):
		lines = append(lines, text(styleDim, "    and %d more: ensign ca status", more))
	case more > 0:
		lines = append(lines, text(styleDim, "    and %d more", more))
	}
	return lines
}

// patience is what becomes of those that are waited for.
func (r rotation) patience() string {
	policy, after, _ := strings.Cut(r.Laggards, "=")
	if d, err := time.ParseDuration(after); err == nil {
		after = roughly(d)
	}
	switch {
	case r.Paused:
		return ""
	case policy == "skip-offline":
		return ", and for none that gives no sign of life for " + after
	case policy == "abort" && !r.Reversed:
		return ", and back to " + r.From.label() + " if this step takes longer than " + after
	}
	return ", each until it follows or its SVID ends"
}

// laggingHeader is above rows of laggards.
var laggingHeader = row{"NAME", "SVID ENDS IN", "AGENT", "REASON"}

// row is a laggard: its name, how long it can be one, whether it is there, and why.
func (l lagging) row(now time.Time) row {
	agent := "connected"
	switch {
	case !l.Connected && l.seen.IsZero():
		agent = "never seen"
	case !l.Connected:
		agent = "away " + roughly(now.Sub(l.seen))
	}
	return row{l.Name, dash(left(now, l.until)), agent, l.Reason}
}
