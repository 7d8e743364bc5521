package rotation

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// look is what was seen of the population at one moment, held against one question.
type look struct {
	question
	instances []Instance
	verdicts  []verdict // of each instance
	// counts of instances; those that are passed over are in skipped, and not in
	// waiting or unverifiable.
	ready, gone, skipped, waiting, unverifiable int
	live                                        map[string]int // SVIDs by root
	laggards                                    func() []Laggard
}

type verdict struct {
	why    why
	passed bool // may be passed over
}

// inspect holds every instance against a question. seen is when this process last saw
// one connected.
func (q *question) inspect(instances []Instance, seen map[string]time.Time) *look {
	l := &look{question: *q, instances: instances, verdicts: make([]verdict, len(instances)), live: map[string]int{}}
	for n := range instances {
		i := &instances[n]
		for s := range i.SVIDs {
			l.live[i.SVIDs[s].Root]++
		}
		v := verdict{why: q.judge(i)}
		switch v.why {
		case ready:
			l.ready++
		case gone:
			l.gone++
		default:
			if v.passed = q.passable(i, seen[i.Name]); v.passed {
				l.skipped++
			} else if l.waiting++; v.why == silent {
				l.unverifiable++
			}
		}
		l.verdicts[n] = v
	}
	l.laggards = sync.OnceValue(l.name)
	return l
}

// passes says whether nobody is waited for.
func (l *look) passes() bool { return l.waiting == 0 }

// over are the names that the gate passes without and that were not recorded yet.
func (l *look) over() []string {
	var names []string
	for n := range l.verdicts {
		if name := l.instances[n].Name; l.verdicts[n].passed {
			if _, ok := l.question.skipped[name]; !ok {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// same says whether a person would see no difference.
func (l *look) same(other *look) bool {
	return other != nil && l.step == other.step && slices.Equal(l.verdicts, other.verdicts) &&
		slices.EqualFunc(l.instances, other.instances, func(a, b Instance) bool {
			return a.Name == b.Name && a.Connected == b.Connected && len(a.SVIDs) == len(b.SVIDs)
		})
}

// gate is the look as people see it.
func (l *look) gate() Gate {
	g := Gate{
		Name:      map[Step]string{Distributing: "new-bundle", Activating: "new-root", Retiring: "old-root-gone"}[l.step],
		Instances: len(l.instances), Ready: l.ready, Skipped: l.skipped, Gone: l.gone, Unverifiable: l.unverifiable,
	}
	if g.Name == "" {
		return Gate{}
	}
	g.Laggards = l.laggards()
	return g
}

// name says who keeps the gate waiting, or would, and why.
func (l *look) name() []Laggard {
	all := make([]Laggard, 0, l.waiting+l.skipped)
	for n := range l.instances {
		i, v := &l.instances[n], l.verdicts[n]
		if v.why == ready || v.why == gone {
			continue
		}
		lag := Laggard{Name: i.Name, SPIFFEID: i.SPIFFEID, Reason: l.reason(i, v), Connected: i.Connected, Unverifiable: v.why == silent, Until: i.until()}
		if i.Report != nil {
			lag.LastSeen = i.Report.ReceivedAt
		}
		all = append(all, lag)
	}
	slices.SortFunc(all, func(a, b Laggard) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
