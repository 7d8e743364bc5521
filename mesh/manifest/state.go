package manifest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
)

// A file that was written less than this before it was read may be written again
// with the same time stamp: it is read once more.
const stampGrain = 2 * time.Second

// A file must be gone this long before its objects count as deleted: an editor
// that renames leaves a gap.
const goneFor = 100 * time.Millisecond

// A version that lacks objects of the one before must be this old before it is
// taken: a file that is being written anew passes through such versions.
const shrunkFor = 500 * time.Millisecond

// state is what is known of the folder. It belongs to the goroutine of Run.
type state struct {
	dir     string
	decoder *decoder
	files   map[string]*file
	inForce map[mesh.Ref]mesh.Object // by Ref.ID()
	device  uint64                   // that the folder was on when it had files
}

// file is one file: its newest version and the one in force.
type file struct {
	stamp   stamp
	readAt  time.Time
	digest  [sha256.Size]byte
	newest  *parsed
	good    *parsed // the last version that was taken; nil: none yet
	unread  error   // why the newest version could not be read
	missing time.Time
	shrunk  bool // the newest version is held back: see shrunkFor
}

// outcome is what one look at the folder came to.
type outcome struct {
	update   mesh.Update
	problems []mesh.Problem
	folders  []string
	// again asks for another look soon: a file is gone, maybe not for long, or may
	// still be being written.
	again time.Duration
}

func newState(dir string, d *decoder) *state {
	return &state{dir: dir, decoder: d, files: map[string]*file{}, inForce: map[mesh.Ref]mesh.Object{}}
}

// look reads what changed below the folder. The error is that of the folder
// itself: then nothing is changed.
func (s *state) look(now time.Time) (outcome, error) {
	l, err := walk(s.dir)
	if err != nil {
		return outcome{}, err
	}
	if len(l.files) == 0 && len(s.files) > 0 && l.device != s.device {
		return outcome{}, fmt.Errorf("%s is empty and on another device: it was unmounted", s.dir)
	}
	s.device = l.device
	out := outcome{problems: l.problems, folders: l.folders}
	for name, st := range l.files {
		s.refresh(name, st, now)
	}
	for name, f := range s.files {
		if _, ok := l.files[name]; ok {
			f.missing = time.Time{}
			continue
		}
		if l.isBlind(name) {
			continue
		}
		switch {
		case f.missing.IsZero():
			f.missing, out.again = now, goneFor
		case now.Sub(f.missing) < goneFor:
			out.again = goneFor
		default:
			delete(s.files, name)
		}
	}
	for _, f := range s.files {
		if f.shrunk = f.shrinks() && now.Sub(f.stamp.modified).Abs() < shrunkFor; f.shrunk {
			out.again = goneFor
		}
	}
	rejected := s.settle()
	for name, f := range s.files {
		out.problems = append(out.problems, f.problems(name, rejected[name])...)
	}
	out.update = s.differ(s.wanted(rejected))
	sortProblems(out.problems)
	return out, nil
}

// refresh reads a file if it may have changed, and parses it if it has.
func (s *state) refresh(name string, st stamp, now time.Time) {
	f := s.files[name]
	if f != nil && f.stamp == st && f.unread == nil && f.readAt.Sub(st.modified) > stampGrain {
		return
	}
	raw, err := read(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return // gone meanwhile
	}
	if f == nil {
		f = &file{newest: &parsed{}}
		s.files[name] = f
	}
	f.stamp, f.readAt, f.unread = st, now, err
	if err != nil {
		return
	}
	if digest := sha256.Sum256(raw); digest != f.digest || f.newest.documents == nil {
		f.digest = digest
		f.newest = s.decoder.parse(name, raw, f.known)
	}
}

// shrinks says whether the newest version lacks an object of that in force.
func (f *file) shrinks() bool {
	if f.good == nil || f.good == f.newest {
		return false
	}
	has := map[mesh.Ref]bool{}
	for _, d := range f.newest.documents {
		has[d.ref.ID()] = true
	}
	return slices.ContainsFunc(f.good.documents, func(d *document) bool { return !has[d.ref.ID()] })
}

// known finds the value of an object in the version in force.
func (f *file) known(ref mesh.Ref, digest [sha256.Size]byte) any {
	if f.good == nil {
		return nil
	}
	if f.good.byID == nil {
		f.good.byID = map[mesh.Ref]*document{}
		for _, d := range f.good.documents {
			f.good.byID[d.ref.ID()] = d
		}
	}
	if d := f.good.byID[ref.ID()]; d != nil && d.digest == digest {
		return d.value
	}
	return nil
}

// problems are those of the newest version, and rejected: the conflicts for
// which it was not taken.
func (f *file) problems(name string, rejected []mesh.Problem) []mesh.Problem {
	out := append(slices.Clone(f.newest.problems), rejected...)
	if f.unread != nil {
		out = append(out, mesh.Problem{Ref: mesh.Ref{Where: name}, Fix: "make it readable, or remove it",
			Message: "it can't be read: " + f.unread.Error()})
	}
	if len(out) > 0 && f.good != nil && f.good != f.newest {
		for i := range out {
			out[i].Message += "; the last good version of the file stays in force"
		}
	}
	return out
}

func sortProblems(list []mesh.Problem) {
	slices.SortStableFunc(list, func(a, b mesh.Problem) int {
		if c := comparePlaces(a.Ref.Where, b.Ref.Where); c != 0 {
			return c
		}
		return strings.Compare(a.Field, b.Field)
	})
}

// comparePlaces orders FILE:LINE by file, then by line as a number.
func comparePlaces(a, b string) int {
	fileA, lineA := splitPlace(a)
	fileB, lineB := splitPlace(b)
	if c := strings.Compare(fileA, fileB); c != 0 {
		return c
	}
	if len(lineA) != len(lineB) {
		return len(lineA) - len(lineB)
	}
	return strings.Compare(lineA, lineB)
}

func splitPlace(where string) (file, line string) {
	i := strings.LastIndexByte(where, ':')
	if i < 0 {
		return where, ""
	}
	return where[:i], where[i+1:]
}
