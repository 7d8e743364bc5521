package powercut

import (
	"io"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// file is one open handle of an inode.
type file struct {
	disk  *Disk
	inode *inode
	boot  int
	lock  vfs.LockLevel
	shm   vfs.SharedMemory
}

var _ vfs.FileSharedMemory = (*file)(nil)

// SharedMemory implements [vfs.FileSharedMemory]: the index of the write-ahead log.
func (f *file) SharedMemory() vfs.SharedMemory { return f.shm }

func (f *file) Close() error {
	err := f.Unlock(vfs.LOCK_NONE)
	if f.shm != nil {
		return f.shm.Close()
	}
	return err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.dead || f.boot != f.disk.boot {
		return 0, sqlite3.IOERR_READ
	}
	if off >= int64(len(f.inode.current)) {
		return 0, io.EOF
	}
	n := copy(p, f.inode.current[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.spend(f.boot, sqlite3.IOERR_WRITE); err != nil {
		return 0, err
	}
	if f.disk.full {
		return 0, sqlite3.FULL
	}
	f.inode.write(p, off)
	return len(p), nil
}

func (f *file) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.spend(f.boot, sqlite3.IOERR_TRUNCATE); err != nil {
		return err
	}
	f.inode.truncate(size)
	return nil
}

func (f *file) Sync(vfs.SyncFlag) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.spend(f.boot, sqlite3.IOERR_FSYNC); err != nil {
		return err
	}
	if f.disk.stuck {
		return sqlite3.IOERR_FSYNC
	}
	f.disk.syncs++
	f.inode.sync()
	return nil
}

func (f *file) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.inode.current)), nil
}

func (f *file) SectorSize() int { return sector }

func (f *file) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return vfs.IOCAP_POWERSAFE_OVERWRITE
}

// Lock implements SQLite's five lock levels between the handles of one inode.
func (f *file) Lock(level vfs.LockLevel) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.lock >= level {
		return nil
	}
	ino := f.inode
	switch level {
	case vfs.LOCK_SHARED:
		if ino.pendingX {
			return sqlite3.BUSY
		}
		ino.shared++
	case vfs.LOCK_RESERVED:
		if ino.reserved {
			return sqlite3.BUSY
		}
		ino.reserved = true
	case vfs.LOCK_EXCLUSIVE:
		if ino.pendingX && f.lock < vfs.LOCK_PENDING {
			return sqlite3.BUSY
		}
		ino.pendingX, f.lock = true, vfs.LOCK_PENDING
		if ino.shared > 1 {
			return sqlite3.BUSY
		}
	}
	f.lock = level
	return nil
}

// Unlock gives back what is held above the level.
func (f *file) Unlock(level vfs.LockLevel) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.lock <= level || f.boot != f.disk.boot {
		return nil
	}
	if f.lock >= vfs.LOCK_RESERVED {
		f.inode.reserved = false
	}
	if f.lock >= vfs.LOCK_PENDING {
		f.inode.pendingX = false
	}
	if level < vfs.LOCK_SHARED {
		f.inode.shared--
	}
	f.lock = level
	return nil
}

// CheckReservedLock says whether anybody is about to write.
func (f *file) CheckReservedLock() (bool, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.inode.reserved, nil
}
