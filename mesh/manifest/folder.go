package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ensign-mesh/ensign/mesh"
)

// Limits on the folder as a whole.
const (
	maxFiles      = 20_000
	maxTotalSize  = 256 << 20
	maxFolderTree = 32
)

// stamp tells whether a file may have changed since it was read.
type stamp struct {
	size     int64
	modified time.Time
	device   uint64
	inode    uint64
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = sys.Dev, sys.Ino
	}
	return s
}

// listing is what a walk of the folder found.
type listing struct {
	files   map[string]stamp // by path below the folder, with slashes
	folders []string         // to watch
	// blind holds the paths that could not be looked at: what was known of them and
	// below them stays.
	blind    []string
	problems []mesh.Problem
	total    int64
	device   uint64 // of the folder itself
}

// walk lists the manifests below dir. Names that begin with "." are not looked
// at; symlinks are followed. An error means that dir itself can't be read.
func walk(dir string) (*listing, error) {
	l := &listing{files: map[string]stamp{}}
	if err := l.folder(dir, "", nil); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *listing) folder(dir, below string, above []stamp) error {
	path := filepath.Join(dir, below)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	self := stampOf(info)
	if slices.ContainsFunc(above, func(a stamp) bool { return a.device == self.device && a.inode == self.inode }) {
		l.problem(below, "remove the symlink", "the folder is inside itself by a symlink")
		return nil
	}
	if len(above) >= maxFolderTree {
		l.problem(below, "nest less", "folders are nested deeper than %d", maxFolderTree)
		return nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(above) == 0 {
		l.device = self.device
	}
	l.folders = append(l.folders, path)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			l.entry(dir, filepath.Join(below, e.Name()), append(above, self))
		}
	}
	return nil
}

func (l *listing) entry(dir, below string, above []stamp) {
	info, err := os.Stat(filepath.Join(dir, below))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return // gone meanwhile, or a symlink to nowhere
	case err != nil:
		l.unseen(below, err)
	case info.IsDir():
		if err := l.folder(dir, below, above); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.unseen(below, err)
		}
	case !isManifest(below):
	case !info.Mode().IsRegular():
		l.unseen(below, errors.New("it is no regular file"))
	case len(l.files) >= maxFiles:
		l.unseen(below, fmt.Errorf("there are more than %d files", maxFiles))
	case l.total+info.Size() > maxTotalSize:
		l.unseen(below, fmt.Errorf("the files have more than %d bytes together", maxTotalSize))
	default:
		l.total += info.Size()
		l.files[filepath.ToSlash(below)] = stampOf(info)
	}
}

func (l *listing) unseen(below string, err error) {
	l.blind = append(l.blind, filepath.ToSlash(below))
	l.problem(below, "make it readable, or remove it", "it can't be read: %v; what was read of it before stays in force", err)
}

func (l *listing) problem(below, fix, format string, args ...any) {
	l.problems = append(l.problems, mesh.Problem{Ref: mesh.Ref{Where: filepath.ToSlash(below)}, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// isBlind says whether nothing is known of a path just now.
func (l *listing) isBlind(name string) bool {
	return slices.ContainsFunc(l.blind, func(b string) bool { return name == b || strings.HasPrefix(name, b+"/") })
}

func isManifest(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// read reads a file up to one byte more than is allowed.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileSize+1))
}
