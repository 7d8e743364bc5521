package powercut

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

var disks atomic.Int64

// Disk is one disk with any number of files.
type Disk struct {
	name   string
	shmDir string

	mu    sync.Mutex
	files map[string]*inode
	// boot counts the restarts: a file opened before one is dead after it.
	boot int
	// left is how many more writes and syncs happen before the power goes; -1: any number.
	left  int
	dead  bool
	syncs int
	// full and stuck fail writes and syncs for a while.
	full, stuck bool
}

// New makes an empty disk, registered for the duration of the test.
func New(t testing.TB) *Disk {
	d := &Disk{name: fmt.Sprintf("powercut-%d", disks.Add(1)), shmDir: t.TempDir(), files: map[string]*inode{}, left: -1}
	vfs.Register(d.name, d)
	t.Cleanup(func() { vfs.Unregister(d.name) })
	return d
}

// VFS is the name under which SQLite knows the disk.
func (d *Disk) VFS() string { return d.name }

// Syncs is how often a file was synced since the disk was made.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// FailWrites lets writes fail, as on a full disk, until it is called with false.
func (d *Disk) FailWrites(fail bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = fail
}

// FailSyncs lets syncs fail, as on a broken disk, until it is called with false.
func (d *Disk) FailSyncs(fail bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stuck = fail
}

// CutAfter lets n more writes and syncs happen, then cuts the power: every
// operation fails until [Disk.Restart].
func (d *Disk) CutAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = n
}

// Restart brings the disk back with what was synced, and with a part of the
// rest that keep chooses; nil keeps nothing. It cuts the power first if it is still on.
func (d *Disk) Restart(keep *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.files {
		f.restart(keep)
	}
	d.boot++
	d.left, d.dead = -1, false
}

// spend counts one write or sync of a file opened in the given boot. The mutex is held.
func (d *Disk) spend(boot int, failure sqlite3.ExtendedErrorCode) error {
	if d.left == 0 {
		d.dead = true
	}
	if d.dead || boot != d.boot {
		return failure
	}
	if d.left > 0 {
		d.left--
	}
	return nil
}

// Open implements [vfs.VFS].
func (d *Disk) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, flags, sqlite3.CANTOPEN
	}
	ino := d.files[name]
	if ino == nil || name == "" {
		if flags&vfs.OPEN_CREATE == 0 {
			return nil, flags, sqlite3.CANTOPEN
		}
		ino = &inode{}
	}
	if name != "" {
		d.files[name] = ino
	}
	shm := filepath.Join(d.shmDir, fmt.Sprintf("%d-%s-shm", d.boot, filepath.Base(name)))
	return &file{disk: d, inode: ino, boot: d.boot, shm: vfs.NewSharedMemory(shm, flags)}, flags, nil
}

// Delete implements [vfs.VFS].
func (d *Disk) Delete(name string, _ bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files[name] == nil {
		return sqlite3.IOERR_DELETE_NOENT
	}
	if err := d.spend(d.boot, sqlite3.IOERR_DELETE); err != nil {
		return err
	}
	delete(d.files, name)
	return nil
}

// Access implements [vfs.VFS].
func (d *Disk) Access(name string, _ vfs.AccessFlag) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[name] != nil, nil
}

// FullPathname implements [vfs.VFS].
func (d *Disk) FullPathname(name string) (string, error) { return name, nil }
