package cli

import (
	"slices"
	"time"
)

// stepOf is the step that an entry of the timeline begins.
var stepOf = map[string]string{
	"begin": "preparing", "distribute": "distributing", "activate": stepActivating, "retire": "retiring", "finish": "done",
}

// entered is when each step was begun, those before a rollback left out: it begins
// anew, at the step that undoes what was done.
func (r rotation) entered() map[string]time.Time {
	times := map[string]time.Time{}
	var rollback time.Time
	for _, e := range r.Timeline {
		if e.Verb == "rollback" {
			times, rollback = map[string]time.Time{}, e.at
			continue
		}
		step, ok := stepOf[e.Verb]
		if !ok {
			continue
		}
		if before := slices.Index(steps, step) - 1; len(times) == 0 && !rollback.IsZero() && before >= 0 {
			times[steps[before]] = rollback
		}
		times[step] = e.at
	}
	if len(times) == 0 && !r.since.IsZero() {
		times[r.Step] = r.since
	}
	return times
}

// firstStep is the index of the first step that this rotation, or its rollback, has.
func (r rotation) firstStep() int {
	entered := r.entered()
	return max(0, slices.IndexFunc(steps, func(step string) bool { _, ok := entered[step]; return ok }))
}

// leftAt is when the step of an index was left: now if it is the one that runs.
func (r rotation) leftAt(index int, entered map[string]time.Time, now time.Time) time.Time {
	for _, next := range steps[index+1:] {
		if at, ok := entered[next]; ok {
			return at
		}
	}
	return now
}

// took is how long the whole has taken.
func (r rotation) took(now time.Time) string {
	if len(r.Timeline) == 0 {
		return ""
	}
	if last := r.Timeline[len(r.Timeline)-1].at; !r.running() {
		now = last
	}
	return roughly(now.Sub(r.Timeline[0].at))
}
