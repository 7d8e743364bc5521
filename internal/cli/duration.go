package cli

import (
	"fmt"
	"time"
)

// roughly is a duration by its two largest units, as people say it: 6d 23h.
func roughly(d time.Duration) string {
	d = d.Truncate(time.Second)
	units := []struct {
		name string
		size time.Duration
	}{{"y", 365 * 24 * time.Hour}, {"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	for i, unit := range units {
		if d < unit.size {
			continue
		}
		text := fmt.Sprintf("%d%s", d/unit.size, unit.name)
		if rest := d % unit.size; i+1 < len(units) && rest >= units[i+1].size {
			text += fmt.Sprintf(" %d%s", rest/units[i+1].size, units[i+1].name)
		}
		return text
	}
	return "0s"
}

// left is how long it is from now to a moment, "" if there is none.
func left(now, until time.Time) string {
	switch {
	case until.IsZero():
		return ""
	case !until.After(now):
		return "ENDED"
	}
	return roughly(until.Sub(now))
}

// ending is when something ends, or ended.
func ending(now, end time.Time) string {
	if end.IsZero() || end.After(now) {
		return "ends " + until(now, end)
	}
	return "ended " + stamp(end) + " (" + roughly(now.Sub(end)) + " ago)"
}

// since is from when on something is so, for the middle of a sentence; "" if nobody knows.
func since(now, begun time.Time) string {
	if begun.IsZero() {
		return ""
	}
	return " since " + stamp(begun) + " (" + roughly(now.Sub(begun)) + ")"
}

// until is a moment and how far off it is.
func until(now, then time.Time) string {
	switch {
	case then.IsZero():
		return "-"
	case !then.After(now):
		return stamp(then) + " (ENDED " + roughly(now.Sub(then)) + " ago)"
	}
	return stamp(then) + " (" + roughly(then.Sub(now)) + " left)"
}
