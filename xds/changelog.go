package xds

// logLength is how many changes a log remembers; who is further behind looks
// at everything.
const logLength = 4096

// change is one name that got, changed or lost its resource.
type change struct {
	kind kind
	name string
}

// changelog is the newest changes of something. Its owner's lock guards it.
type changelog struct {
	seq uint64 // of the newest change
	log []change
}

// note logs a change.
func (c *changelog) note(k kind, name string) {
	c.seq++
	if len(c.log) >= 2*logLength {
		c.log = append([]change(nil), c.log[len(c.log)-logLength:]...)
	}
	c.log = append(c.log, change{k, name})
}

// since is what changed after seq, and the seq of the newest change; ok is false
// when the log no longer reaches back so far. What it answers is never written again.
func (c *changelog) since(seq uint64) (changes []change, now uint64, ok bool) {
	behind := c.seq - seq
	if behind > uint64(len(c.log)) {
		return nil, c.seq, false
	}
	return c.log[len(c.log)-int(behind) : len(c.log) : len(c.log)], c.seq, true
}
