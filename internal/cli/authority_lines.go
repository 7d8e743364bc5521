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
		rows = append(rows, row{r.label(), r.state(a.at), dash(r.NotAfter), dash(left(a.at, r.ends)), strconv.Itoa(int(r.LiveSVIDs)), short(r.Fingerprint)})
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
func (r rootStatus) state(now time.Time) string {
	state := "out of use"
	switch {
	case r.Signing && r.ended(now):
		state = "over: signs nothing"
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

// ended says whether a root's time is over.
func (r rootStatus) ended(now time.Time) bool { return !r.ends.IsZero() && !r.ends.After(now) }

// style warns of a root that is in use and should not be.
func (r rootStatus) style(now time.Time) string {
	switch {
	case !r.Trusted && !r.Signing:
		return styleDim
	case r.Compromised || r.ended(now) || r.Problem != "":
		return styleBad
	}
	return styleNone
}

func (a authority) issuerLines() []line {
	i := a.Issuer
	var lines []line
	name := "issuer"
	if i.Problem != "" {
		lines, name = append(lines, text(styleBad, "issuer    NOTHING CAN BE ISSUED: %s", i.Problem), text(styleBad, "          %s", a.cure())), ""
	}
	if i.Serial == "" {
		return append(append(lines, text(styleNone, "%-9s none", name)), a.introductionLines("          ")...)
	}
	lines = append(lines, text(styleNone, "%-9s %s under %s", name, i.Serial, a.labelOf(i.Root)),
		text(styleNone, "          %s", ending(a.at, i.ends)))
	switch {
	case i.replace.IsZero() || i.Problem != "":
	case !i.replace.Before(i.ends):
		lines = append(lines, text(styleNone, "          nothing replaces it before its end but `ensign ca rotate root`"))
	case i.replace.After(a.at):
		lines = append(lines, text(styleNone, "          replaced by itself from %s (in %s)", stamp(i.replace), roughly(i.replace.Sub(a.at))))
	case a.Upstream.Problem != "":
		lines = append(lines, text(styleWarn, "          was to be replaced by %s (%s ago), which %s keeps from happening: see below", stamp(i.replace), roughly(a.at.Sub(i.replace)), dash(a.Upstream.Place)))
	default:
		lines = append(lines, text(styleWarn, "          is to be replaced since %s (%s ago): if that goes on, ensignd's log says why", stamp(i.replace), roughly(a.at.Sub(i.replace))))
	}
	return append(lines, a.introductionLines("          ")...)
}

// cure is what to do when nothing can be issued.
func (a authority) cure() string {
	signs := a.signing()
	switch {
	case signs.ended(a.at) && a.Rotation.running():
		return "the rotation below replaces the root that is over"
	case signs.ended(a.at):
		return "run `ensign ca rotate root`, then bring the new bundle.pem to every agent: docs/runbooks/root-expired.md"
	case a.Upstream.Problem != "" && (a.Upstream.until.IsZero() || !a.Upstream.until.After(a.at)):
		return "mend what ails " + dash(a.Upstream.Place) + ", below: then it goes on by itself"
	}
	return "it is tried again by itself: if that goes on, ensignd's log says why"
}

// signing is the root that signs.
func (a authority) signing() rootStatus {
	for _, r := range a.Roots {
		if r.Signing {
			return r
		}
	}
	return rootStatus{}
}

// introductionLines say whom the next issuer waits for before it signs.
func (a authority) introductionLines(indent string) []line {
	told := a.introducing()
	if told == "" {
		return nil
	}
	return []line{text(styleWarn, "%s%s", indent, told)}
}

func (a authority) introducing() string {
	i := a.Issuer.Introducing
	if i == nil {
		return ""
	}
	names := i.Laggards[:min(lineLaggards, len(i.Laggards))]
	told := strings.Join(names, ", ")
	if more := int(i.Waiting) - len(names); more > 0 {
		told += " and " + strconv.Itoa(more) + " more"
	}
	return "the next issuer, " + i.Serial + ", signs when its CRL is at " + told + ", or without them from " + dash(i.Until) + " on"
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
	lines := []line{u.health(a.signing().ended(a.at), a.at)}
	if !u.credential.IsZero() {
		told := "          ensignd's token there " + ending(a.at, u.credential)
		if u.Problem == "" {
			told += "; it gets others by itself"
		}
		lines = append(lines, text(styleNone, "%s", told))
	}
	switch {
	case u.until.IsZero() && u.Place == placeVault && a.Issuer.Serial != "":
		lines = append(lines, text(styleNone, "          it signs each SVID itself: while it is away, none is issued"))
	case !u.until.After(a.at), a.Issuer.Problem != "":
	case u.Problem != "":
		lines = append(lines, text(styleWarn, "          if it stays so, issuing goes on until %s, and ends then", until(a.at, u.until)))
	case u.Place == placeVault:
		lines = append(lines, text(styleNone, "          if it goes away, issuing goes on until %s", until(a.at, u.until)))
	}
	for _, r := range a.Roots {
		if r.Problem != "" && !r.Signing {
			lines = append(lines, text(styleWarn, "%s, %s, cannot sign%s: %s", r.label(), r.use(), since(a.at, r.unwell), r.Problem))
		}
	}
	return lines
}

// use is what somebody may want of a root that does not sign.
func (r rootStatus) use() string {
	if r.Trusted {
		return "of the rotation"
	}
	return "to which a rollback leads"
}

// health is how the place of the root that signs is.
func (u upstreamStatus) health(over bool, now time.Time) line {
	switch {
	case u.Problem == "":
		return text(styleNone, "%-9s well", dash(u.Place))
	case over:
		return text(styleBad, "%-9s the root that signs is over, and certifies nothing any more", dash(u.Place))
	}
	return text(styleBad, "%-9s NOT WELL%s: %s", dash(u.Place), since(now, u.unwell), u.Problem)
}

func (a authority) rotationLines(m marks, most int) []line {
	r := a.Rotation
	switch {
	case r == nil:
		return []line{text(styleNone, "rotation  there was none")}
	case r.running():
		return append([]line{nil}, r.lines(a.at, m, most)...)
	}
	lines := []line{text(styleNone, "rotation  %s", r.past(a.at))}
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
