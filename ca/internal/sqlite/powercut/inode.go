package powercut

import "math/rand/v2"

const sector = 512

// inode is one file's bytes: as they read, as they were at the last sync, and
// what was done in between.
type inode struct {
	current []byte
	durable []byte
	pending []change

	shared   int
	reserved bool
	pendingX bool
}

// change is one unsynced act: bytes written at an offset, or a new size.
type change struct {
	off      int64
	data     []byte
	truncate bool
}

func (f *inode) apply(c change) { f.current = c.on(f.current) }

// on returns content after the change.
func (c change) on(content []byte) []byte {
	if c.truncate {
		return resize(content, c.off)
	}
	end := c.off + int64(len(c.data))
	if end > int64(len(content)) {
		content = resize(content, end)
	}
	copy(content[c.off:], c.data)
	return content
}

func resize(content []byte, size int64) []byte {
	if size <= int64(len(content)) {
		return content[:size:size]
	}
	return append(content, make([]byte, size-int64(len(content)))...)
}

// write notes a write, cut at the borders of sectors: each may survive alone.
func (f *inode) write(p []byte, off int64) {
	for len(p) > 0 {
		n := min(int64(len(p)), sector-off%sector)
		c := change{off: off, data: append([]byte(nil), p[:n]...)}
		f.apply(c)
		f.pending = append(f.pending, c)
		p, off = p[n:], off+n
	}
}

func (f *inode) truncate(size int64) {
	c := change{off: size, truncate: true}
	f.apply(c)
	f.pending = append(f.pending, c)
}

func (f *inode) sync() {
	for _, c := range f.pending {
		f.durable = c.on(f.durable)
	}
	f.pending = nil
}

// restart forgets what was not synced, save a random part.
func (f *inode) restart(keep *rand.Rand) {
	for _, c := range f.pending {
		if keep != nil && keep.IntN(2) == 0 {
			f.durable = c.on(f.durable)
		}
	}
	*f = inode{durable: f.durable, current: append([]byte(nil), f.durable...)}
}
