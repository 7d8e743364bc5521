package mesh

import (
	"cmp"
	"fmt"
	"slices"
)

// findings collects what is wrong with one object while it is compiled.
type findings struct {
	list   []Problem
	failed bool
	cause  int // index of the first failure in list
}

// fail notes a defect for which the object is not taken.
func (f *findings) fail(field, fix, format string, args ...any) {
	if !f.failed {
		f.failed, f.cause = true, len(f.list)
	}
	f.note(field, fix, format, args...)
}

// note adds a problem that leaves the rest of the object in force.
func (f *findings) note(field, fix, format string, args ...any) {
	f.list = append(f.list, Problem{Field: field, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// consequence adds to the first failure what is in force instead.
func (f *findings) consequence(what string) { f.list[f.cause].Message += what }

// report holds the problems in force by the object that they are about.
type report struct {
	objects map[Ref][]Problem
	hosts   map[string][]Problem // conflicts between objects over a host, its routes or an address
	flat    []Problem            // cached; nil when stale
}

func newReport() *report {
	return &report{objects: map[Ref][]Problem{}, hosts: map[string][]Problem{}}
}

func (r *report) set(id Ref, list []Problem) {
	if len(list) == 0 && len(r.objects[id]) == 0 {
		return
	}
	r.flat = nil
	delete(r.objects, id)
	if len(list) > 0 {
		r.objects[id] = list
	}
}

func (r *report) setHost(host string, list []Problem) {
	if len(list) == 0 && len(r.hosts[host]) == 0 {
		return
	}
	r.flat = nil
	delete(r.hosts, host)
	if len(list) > 0 {
		r.hosts[host] = list
	}
}

// all lists every problem, sorted, each with the place where its object is now.
func (r *report) all(objects map[Ref]Object) []Problem {
	if r.flat == nil {
		r.flat = []Problem{}
		for id, list := range r.objects {
			for _, p := range list {
				p.Ref = id
				r.flat = append(r.flat, p)
			}
		}
		for _, list := range r.hosts {
			r.flat = append(r.flat, list...)
		}
		slices.SortFunc(r.flat, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Ref.Kind, b.Ref.Kind), compareKeys(a.Ref.Key, b.Ref.Key),
				cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
		})
	}
	out := slices.Clone(r.flat)
	for i := range out {
		if o, ok := objects[out[i].Ref.ID()]; ok {
			out[i].Ref.Where = o.Ref.Where
		}
	}
	return out
}
