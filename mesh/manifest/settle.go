package manifest

import (
	"cmp"
	"maps"
	"slices"

	"github.com/ensign-mesh/ensign/mesh"
)

// settle takes the newest version of every file that has no fault and defines no
// object that another file defines too. It returns the conflicts of the others,
// by file: these keep their last good version.
func (s *state) settle() map[string][]mesh.Problem {
	held := map[string][]mesh.Problem{} // files that keep their good version
	for name, f := range s.files {
		if len(f.newest.problems) > 0 || f.unread != nil || f.shrunk {
			held[name] = nil
		}
	}
	for s.hold(held) {
	}
	for name, f := range s.files {
		if _, ok := held[name]; !ok {
			f.good = f.newest
		}
	}
	return held
}

// hold finds one conflict among the versions that would be in force and holds a
// file back for it; false when there is none. What is in force never conflicts,
// so that one side is always a new version: the later by name gives way.
func (s *state) hold(held map[string][]mesh.Problem) bool {
	owners := map[mesh.Ref]string{}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		for _, d := range s.candidate(name, held) {
			first, taken := owners[d.ref.ID()]
			switch {
			case !taken:
				owners[d.ref.ID()] = name
			case s.isNew(name, held):
				held[name] = append(held[name], s.conflicts(name, first, held)...)
				return true
			case s.isNew(first, held):
				held[first] = append(held[first], s.conflicts(first, name, held)...)
				return true
			}
		}
	}
	return false
}

// conflicts lists the objects of the loser that the other file defines too.
func (s *state) conflicts(loser, other string, held map[string][]mesh.Problem) []mesh.Problem {
	theirs := map[mesh.Ref]mesh.Ref{}
	for _, d := range s.candidate(other, held) {
		theirs[d.ref.ID()] = d.ref
	}
	var out []mesh.Problem
	for _, d := range s.candidate(loser, held) {
		if first, ok := theirs[d.ref.ID()]; ok {
			out = append(out, duplicate(d.ref, first))
		}
	}
	return out
}

// isNew says whether a file's candidate is another version than that in force.
func (s *state) isNew(name string, held map[string][]mesh.Problem) bool {
	_, isHeld := held[name]
	f := s.files[name]
	return !isHeld && f.newest != f.good
}

func (s *state) candidate(name string, held map[string][]mesh.Problem) []*document {
	f := s.files[name]
	if _, isHeld := held[name]; !isHeld {
		return f.newest.documents
	}
	if f.good == nil {
		return nil
	}
	return f.good.documents
}

// wanted is what should be in force: the good version of every file and, closed,
// the policies of a held version that were never taken.
func (s *state) wanted(held map[string][]mesh.Problem) map[mesh.Ref]mesh.Object {
	out := map[mesh.Ref]mesh.Object{}
	for _, f := range s.files {
		if f.good == nil {
			continue
		}
		for _, d := range f.good.documents {
			out[d.ref.ID()] = d.object()
		}
	}
	for _, name := range slices.Sorted(maps.Keys(held)) {
		f := s.files[name]
		if f.shrunk && len(f.newest.problems) == 0 {
			continue // it will be taken in a moment
		}
		for _, d := range f.newest.documents {
			if _, ok := out[d.ref.ID()]; ok || d.kind == nil || !d.kind.policy() || d.ref.Name == "" {
				continue
			}
			if d.standIn == nil {
				stand := d.unreadable()
				d.standIn = &stand
			}
			out[d.ref.ID()] = *d.standIn
		}
	}
	return out
}

// differ is the update from what is in force to what is wanted, in a fixed
// order, and makes it what is in force.
func (s *state) differ(wanted map[mesh.Ref]mesh.Object) mesh.Update {
	var u mesh.Update
	for id := range s.inForce {
		if _, ok := wanted[id]; !ok {
			u.Deletes = append(u.Deletes, id)
		}
	}
	for id, o := range wanted {
		if old, ok := s.inForce[id]; !ok || old != o {
			u.Upserts = append(u.Upserts, o)
		}
	}
	s.inForce = wanted
	slices.SortFunc(u.Deletes, compareRefs)
	slices.SortFunc(u.Upserts, func(a, b mesh.Object) int { return compareRefs(a.Ref, b.Ref) })
	return u
}

func compareRefs(a, b mesh.Ref) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
