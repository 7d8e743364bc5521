package ledger

import "sync"

// recentSerials is what the SVIDs of 10,000 agents come to, and half as many more
// while they change to new ones, rounded up; some 15 MiB.
const recentSerials = 16_384

// recent holds the records of certificates that were written or found last, by
// serial. What is in the ledger never changes, so nothing here grows stale: each
// proof of a live SVID asks, and need not ask the file. It is safe for concurrent use.
type recent struct {
	mu sync.Mutex
	// Half of the room each; when young is full it becomes old, and old is forgotten.
	young, old map[string]Record
}

func (c *recent) find(serial string) (Record, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.young[serial]; ok {
		return r, true
	}
	r, ok := c.old[serial]
	if ok {
		c.add(serial, r)
	}
	return r, ok
}

// keep takes a record that is in the ledger, as it was hashed.
func (c *recent) keep(serial string, r Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(serial, r)
}

func (c *recent) add(serial string, r Record) {
	if c.young == nil || len(c.young) >= recentSerials/2 {
		c.old, c.young = c.young, map[string]Record{}
	}
	c.young[serial] = r
}
