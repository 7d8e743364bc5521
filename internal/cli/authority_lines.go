package cli

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// placeVault is the place that may be away.
const placeVault = "vault"

// lines are the whole status as text: roots, issuer, place, rotation.
func (a authority) lines(m marks, most int) []line {
	rows := []row{{"ROOT", "STATE", "ENDS", "LEFT", "LIVE SVIDS", "SHA-256"}}
	for _, r := range a.Roots {
		rows = append(rows, row{r.label(), r.state(), dash(r.NotAfter), dash(left(a.at, r.ends)), strconv.Itoa(int(r.LiveSVIDs)), short(r.Fingerprint)})
	}
	var lines []line
	for i, l := range columns(rows) {
		style := styleDim
		if i > 0 {
			style = a.Roots[i-1].style(a.at)
		}
		lines = append(lines, text(style, "%s", l))
	}
	lines = append(lines, nil)
	lines = append(lines, a.issuerLines()...)
	lines = append(lines, a.upstreamLines()...)
	lines = append(lines, text(styleNone, "bundle    %s", dash(short(a.Bundle))))
	return append(lines, a.rotationLines(m, most)...)
}

// state is what a root is used for.
func (r rootStatus) state() string {
	state := "out of use"
	switch {
	case r.Signing && r.Trusted:
		state = "signs, trusted"
	case r.Signing:
		state = "signs"
	case r.Trusted:
		state = "trusted"
	}
	if r.Compromised {
		state += ", COMPROMISED"
	}
	return state
}

// style warns of a root that is in use and should not be.
func (r rootStatus) style(now time.Time) string {
	switch {
	case !r.Trusted && !r.Signing:
		return styleDim
	case r.Compromised || !r.ends.After(now):
		return styleBad
	}
	return styleNone
}

func (a authority) issuerLines() []line {
	i := a.Issuer
	var lines []line
	name := "issuer"
	if i.Problem != "" {
		lines, name = append(lines, text(styleBad, "issuer    NOTHING CAN BE ISSUED: %s", i.Problem)), ""
	}
	if i.Serial == "" {
		return append(lines, text(styleNone, "%-9s none", name))
	}
	lines = append(lines, text(styleNone, "%-9s %s under %s", name, i.Serial, a.labelOf(i.Root)),
		text(styleNone, "          ends %s", until(a.at, i.ends)))
	if i.replace.After(a.at) {
		lines = append(lines, text(styleNone, "          to be replaced from %s (in %s)", stamp(i.replace), roughly(i.replace.Sub(a.at))))
	} else if !i.replace.IsZero() {
		lines = append(lines, text(styleWarn, "          to be replaced since %s: see what ails %s", stamp(i.replace), dash(a.Upstream.Place)))
	}
	return lines
}

// labelOf names a root by its fingerprint.
func (a authority) labelOf(fingerprint string) string {
	for _, r := range a.Roots {
		if r.Fingerprint == fingerprint {
			return r.label()
		}
	}
	return dash(short(fingerprint))
}

func (a authority) upstreamLines() []line {
	u := a.Upstream
	name := dash(u.Place)
	var lines []line
	if u.Problem != "" {
		lines = append(lines, text(styleBad, "%-9s NOT WELL: %s", name, u.Problem))
	} else {
		lines = append(lines, text(styleNone, "%-9s well, as far as is known", name))
	}
	if !u.credential.IsZero() {
		lines = append(lines, text(styleNone, "          ensignd's credential ends %s", until(a.at, u.credential)))
	}
	if u.until.IsZero() && u.Place == placeVault && a.Issuer.Serial != "" {
		return append(lines, text(styleNone, "          it signs each SVID itself: while it is away, none is issued"))
	}
	if !u.until.IsZero() && (u.Place == placeVault || u.Problem != "") {
		style := styleNone
		if u.Problem != "" {
			style = styleWarn
		}
		lines = append(lines, text(style, "          if it stays away, issuing goes on until %s", until(a.at, u.until)))
	}
	return lines
}

func (a authority) rotationLines(m marks, most int) []line {
	r := a.Rotation
	switch {
	case r == nil:
		return []line{text(styleNone, "rotation  there was none")}
	case r.running():
		return append([]line{nil}, r.lines(a.at, m, most)...)
	}
	lines := []line{text(styleNone, "rotation  %s %s %s: %s → %s, took %s, by %s%s",
		r.ID, r.Outcome, r.Since, r.From.label(), r.To.label(), r.took(a.at), r.Actor, after(": ", r.Reason))}
	for _, e := range r.Timeline {
		if e.Verb == "skip" {
			lines = append(lines, text(styleWarn, "          passed without %s", e.Detail))
		}
	}
	return lines
}

// after is text behind a separator, or nothing.
func after(separator, text string) string {
	if text == "" {
		return ""
	}
	return separator + text
}

// columns are rows set under one another.
func columns(rows []row) []string {
	if len(rows) == 0 {
		return nil
	}
	var b bytes.Buffer
	p := printer{out: &b}
	// A buffer takes everything.
	_ = p.table(rows[0], rows[1:])
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}
