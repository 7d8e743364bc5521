package rotation

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func svidOf(root string, index uint64) SVID {
	return SVID{Serial: string(rune('a' + index)), Index: index, Root: root, IssuedAt: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour)}
}

// told is the sequence of the Trust that the steps of these tests tell.
const told = 40

// reporting is an instance with these SVIDs, whose Envoy acknowledged a serial and a
// bundle, which is the one of the step.
func reporting(acked, bundle string, svids ...SVID) Instance {
	return Instance{Name: "shop/a", Connected: true, SVIDs: svids, Report: &Report{AckedSerial: acked, AckedBundle: bundle, TrustSequence: told, ReceivedAt: noon.Add(time.Second)}}
}

func with(i Instance, edit func(*Instance)) Instance {
	if i.Report != nil {
		r := *i.Report
		i.Report = &r
	}
	edit(&i)
	return i
}

func TestWhoIsReady(t *testing.T) {
	old, new1, new2 := svidOf("old", 1), svidOf("new", 2), svidOf("new", 4)
	both := reporting("b", "both", old)
	renewed := reporting("c", "both", old, new1)
	for name, c := range map[string]struct {
		step     Step
		instance Instance
		want     why
		says     string // part of the reason
	}{
		"has both":               {Distributing, both, ready, ""},
		"has one":                {Distributing, reporting("b", "one", old), otherBundle, "has not acknowledged the bundle with the new root"},
		"has nothing":            {Distributing, reporting("", "", old), otherBundle, ""},
		"says why":               {Distributing, with(reporting("b", "one", old), func(i *Instance) { i.Report.Problem = "disk full" }), otherBundle, "its agent says: disk full"},
		"away":                   {Distributing, with(reporting("b", "one", old), func(i *Instance) { i.Connected = false }), otherBundle, "not connected, last heard of at 2026-11-21T12:00:01Z"},
		"away but ready":         {Distributing, with(both, func(i *Instance) { i.Connected = false }), ready, ""},
		"gone":                   {Distributing, with(both, func(i *Instance) { i.Gone, i.Report = true, nil }), gone, ""},
		"never reported":         {Distributing, with(both, func(i *Instance) { i.Report, i.Connected = nil, false }), silent, "foreign agent"},
		"new here":               {Distributing, with(both, func(i *Instance) { i.Report = nil }), silent, "has not reported yet"},
		"as of an earlier step":  {Distributing, with(both, func(i *Instance) { i.Report.TrustSequence-- }), otherTrust, "the bundle of another step"},
		"of before, stored now":  {Distributing, with(both, func(i *Instance) { i.Report.TrustSequence, i.Report.ReceivedAt = told-1, noon.Add(time.Minute) }), otherTrust, ""},
		"of another ledger":      {Distributing, with(both, func(i *Instance) { i.Report.TrustSequence++ }), otherTrust, "the bundle of another step"},
		"does not say of which":  {Distributing, with(both, func(i *Instance) { i.Report.TrustSequence = 0 }), otherTrust, "older than ensignd"},
		"our clock was set back": {Distributing, with(both, func(i *Instance) { i.Report.ReceivedAt = noon.Add(-time.Hour) }), ready, ""},
		"clock behind":           {Distributing, with(both, func(i *Instance) { i.Report.Skew = -12 * time.Minute }), clockOff, "12m0s behind ours"},
		"clock ahead":            {Distributing, with(both, func(i *Instance) { i.Report.Skew = 10 * time.Minute }), clockOff, "10m0s ahead of ours"},
		"clock at the limit":     {Distributing, with(both, func(i *Instance) { i.Report.Skew = MaxSkew }), ready, ""},
		"before the new root":    {Distributing, with(both, func(i *Instance) { i.Report.Skew = -3 * time.Minute }), tooEarly, "valid from 2026-11-21T11:59:00Z"},

		"lives on the old":             {Activating, both, unrenewed, "does not lead to the new root yet"},
		"has renewed":                  {Activating, renewed, ready, ""},
		"has not acknowledged":         {Activating, reporting("b", "both", old, new1), unproven, "its Envoy has not acknowledged"},
		"acknowledged somebody else's": {Activating, reporting("z", "both", old, new1), unproven, ""},
		"acknowledged nothing":         {Activating, reporting("", "both", old, new1), unproven, ""},
		"an old one came later":        {Activating, reporting("c", "both", old, new1, svidOf("old", 3)), unrenewed, ""},
		"and was renewed":              {Activating, reporting("e", "both", old, new1, svidOf("old", 3), new2), ready, ""},
		"and that not acknowledged":    {Activating, reporting("c", "both", old, new1, svidOf("old", 3), new2), unproven, ""},
		"begun on the new":             {Activating, reporting("c", "both", new1), ready, ""},
		"begun, not acknowledged":      {Activating, reporting("", "both", new1), unproven, ""},
		"of an unknown root":           {Activating, reporting("b", "both", svidOf("", 1)), unrenewed, ""},
		"of a third root":              {Activating, reporting("b", "both", svidOf("third", 1)), unrenewed, ""},
		"unknown, superseded":          {Activating, reporting("c", "both", svidOf("", 1), new1), ready, ""},
		"no SVID":                      {Activating, reporting("c", "both"), unrenewed, ""},
		"foreign":                      {Activating, with(renewed, func(i *Instance) { i.Report = nil }), silent, ""},
		"gone with the old":            {Activating, with(both, func(i *Instance) { i.Gone = true }), gone, ""},

		"trusts the new alone":  {Retiring, both, ready, ""},
		"trusts both still":     {Retiring, reporting("c", "older", new1), otherBundle, "without the old root"},
		"had it once":           {Retiring, with(both, func(i *Instance) { i.Report.TrustSequence -= 20 }), otherTrust, "another step"},
		"clock set back":        {Retiring, with(both, func(i *Instance) { i.Report.ReceivedAt = noon.Add(-time.Hour) }), ready, ""},
		"skew is nothing there": {Retiring, with(both, func(i *Instance) { i.Report.Skew = time.Hour }), ready, ""},

		"planned":          {Preparing, both, ready, ""},
		"planned away":     {Preparing, with(both, func(i *Instance) { i.Connected = false }), away, "not connected"},
		"planned skew":     {Preparing, with(both, func(i *Instance) { i.Report.Skew = time.Hour }), clockOff, ""},
		"planned unheard ": {Preparing, with(both, func(i *Instance) { i.Report = nil }), silent, ""},
	} {
		q := &question{step: c.step, now: noon.Add(time.Minute), since: noon, bundle: "both", sequence: told, to: "new", from: noon.Add(-time.Minute)}
		got := q.judge(&c.instance)
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		} else if text := q.reason(&c.instance, verdict{why: got}); !strings.Contains(text, c.says) || got > gone && text == "" {
			t.Errorf("%s: reason %q lacks %q", name, text, c.says)
		}
	}
}

func TestWhoMayBePassedOver(t *testing.T) {
	const after = 10 * time.Minute
	long := noon.Add(-time.Hour)
	away := with(reporting("b", "one", svidOf("old", 1)), func(i *Instance) { i.Connected, i.Report.ReceivedAt = false, long })
	for name, c := range map[string]struct {
		instance Instance
		edit     func(*question)
		seen     time.Time
		want     bool
	}{
		"silent for an hour":             {instance: away, want: true},
		"no such policy":                 {instance: away, edit: func(q *question) { q.after = 0 }},
		"connected":                      {instance: with(away, func(i *Instance) { i.Connected = true })},
		"reported a while ago":           {instance: with(away, func(i *Instance) { i.Report.ReceivedAt = noon.Add(-after / 2) })},
		"was here a while ago":           {instance: away, seen: noon.Add(-after / 2)},
		"got an SVID a while ago":        {instance: with(away, func(i *Instance) { i.SVIDs = []SVID{{IssuedAt: noon.Add(-after / 2)}} })},
		"ensignd has just started":       {instance: away, edit: func(q *question) { q.started = noon.Add(-after / 2) }},
		"foreign, the step is new":       {instance: with(away, func(i *Instance) { i.Report = nil }), edit: func(q *question) { q.since = noon.Add(-after / 2) }},
		"foreign, the step is old":       {instance: with(away, func(i *Instance) { i.Report = nil }), want: true},
		"was passed over before a crash": {instance: away, edit: func(q *question) { q.started = noon; q.skipped["shop/a"] = noon.Add(-time.Minute) }, want: true},
		"and was heard of since":         {instance: with(away, func(i *Instance) { i.Report.ReceivedAt = noon }), edit: func(q *question) { q.skipped["shop/a"] = noon.Add(-time.Minute) }},
		"and is connected again":         {instance: with(away, func(i *Instance) { i.Connected = true }), edit: func(q *question) { q.skipped["shop/a"] = noon.Add(-time.Minute) }},
		"exactly long enough":            {instance: with(away, func(i *Instance) { i.Report.ReceivedAt = noon.Add(-after) }), want: true},
		"a second too short":             {instance: with(away, func(i *Instance) { i.Report.ReceivedAt = noon.Add(time.Second - after) })},
	} {
		q := &question{step: Distributing, now: noon, since: long, started: long, after: after, skipped: map[string]time.Time{}}
		if c.edit != nil {
			c.edit(q)
		}
		if got := q.passable(&c.instance, c.seen); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// BenchmarkALook at 10,000 instances: what the manager does at most once a second.
func BenchmarkALook(b *testing.B) {
	var all []Instance
	seen := seen{}
	for range 10_000 {
		i := reporting("b", "one", svidOf("old", 1), svidOf("new", 2))
		i.Name = "shop/" + strings.Repeat("x", len(all)%20) + string(rune('a'+len(all)%26))
		all = append(all, i)
	}
	q := &question{step: Activating, now: noon, since: noon, to: "new", after: time.Hour}
	b.ReportAllocs()
	last := q.inspect(all, seen)
	for b.Loop() {
		seen.note(all, noon)
		l := q.inspect(all, seen)
		if l.waiting != 10_000 || !l.same(last) {
			b.Fatal(l.waiting)
		}
	}
}
