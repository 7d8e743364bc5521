package manifest

import (
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watch tells when something moves below the folder.
type watch struct {
	dir     string
	watcher *fsnotify.Watcher
}

// newWatch watches the folder itself and, for the day on which it is swapped,
// the folder that it lies in.
func newWatch(dir string) (*watch, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watch{dir: dir, watcher: watcher}
	w.follow([]string{dir})
	return w, nil
}

// follow watches exactly these folders. One that can't be watched is left to the
// rescan.
func (w *watch) follow(folders []string) {
	wanted := append([]string{filepath.Dir(w.dir), w.dir}, folders...)
	for _, path := range w.watcher.WatchList() {
		if !slices.Contains(wanted, path) {
			_ = w.watcher.Remove(path)
		}
	}
	for _, path := range wanted {
		_ = w.watcher.Add(path)
	}
}

func (w *watch) close() { _ = w.watcher.Close() }

// wait returns true when it is time to look: it was quiet for a moment after an
// event, or longest has passed. With calm, events only start the same waiting
// again up to holdOffMax. False when ctx has ended.
func (w *watch) wait(ctx context.Context, longest time.Duration, calm bool) bool {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	var latest time.Time // when to look at the latest, once an event came
	if calm {
		latest = time.Now().Add(holdOffMax)
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case e, ok := <-w.watcher.Events:
			if !ok {
				return false
			}
			if !w.concerns(e) {
				continue
			}
			if latest.IsZero() {
				latest = time.Now().Add(holdOffMax)
			}
			timer.Reset(max(0, min(holdOff, time.Until(latest))))
		case _, ok := <-w.watcher.Errors:
			if !ok {
				return false
			}
			timer.Reset(holdOff) // events were lost: look
		}
	}
}

// concerns leaves out what happens beside the folder, and mere changes of mode.
func (w *watch) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	return filepath.Dir(e.Name) != filepath.Dir(w.dir) || e.Name == w.dir
}
