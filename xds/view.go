package xds

import "sync"

// view is a named set of resources that changes, with a log of the changes.
type view struct {
	mu     sync.RWMutex
	byName [kinds]map[string]*resource
	// older holds, newest first, replaced content that clients had accepted: what
	// a client gets when the present content is held back from it.
	older [kinds]map[string][]*resource
	log   changelog
}

// maxOlder is how many replaced contents of one name are kept.
const maxOlder = 2

func newView() *view {
	v := &view{}
	for k := range v.byName {
		v.byName[k] = map[string]*resource{}
		v.older[k] = map[string][]*resource{}
	}
	return v
}

// tally is how many names of each kind changed.
type tally [kinds]int

// replace takes the resources of old out and puts those of new in, and answers
// what changed. Content that stays equal is no change, though it may come from
// other objects by now.
func (v *view) replace(old, new []*resource) (changed tally) {
	v.mu.Lock()
	defer v.mu.Unlock()
	present := make(map[change]bool, len(new))
	for _, r := range new {
		present[change{r.kind, r.name}] = true
	}
	for _, r := range old {
		before := v.byName[r.kind][r.name]
		if !present[change{r.kind, r.name}] && before != nil && before.version == r.version {
			v.retire(before)
			delete(v.byName[r.kind], r.name)
			v.log.note(r.kind, r.name)
			changed[r.kind]++
		}
	}
	for _, r := range new {
		before := v.byName[r.kind][r.name]
		if before != nil && before.version == r.version {
			v.byName[r.kind][r.name] = before.retold(r)
			continue
		}
		if before != nil {
			v.retire(before)
		}
		v.byName[r.kind][r.name] = r
		v.log.note(r.kind, r.name)
		changed[r.kind]++
	}
	return changed
}

// retire remembers content that clients may have accepted. v.mu is held.
func (v *view) retire(r *resource) {
	if r.accepted.Load() == nil {
		return
	}
	list := append([]*resource{r}, v.older[r.kind][r.name]...)
	v.older[r.kind][r.name] = list[:min(len(list), maxOlder)]
}

// inherit takes over what clients had accepted in a view that this one replaces.
func (v *view) inherit(from *view) {
	from.mu.RLock()
	defer from.mu.RUnlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	for k := range from.byName {
		for name, r := range from.byName[k] {
			if now := v.byName[k][name]; now == nil || now.version == r.version || len(v.older[k][name]) > 0 {
				continue
			}
			v.older[k][name] = from.older[k][name]
			v.retire(r)
		}
	}
}

// get is the present resource of a name, or nil.
func (v *view) get(k kind, name string) *resource {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.byName[k][name]
}

// lastGood is the newest replaced content that a client of this version accepted, or nil.
func (v *view) lastGood(k kind, name, version string) *resource {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, r := range v.older[k][name] {
		if r.acceptedBy(version) {
			return r
		}
	}
	return nil
}

// each hands every resource of a kind to do, which must not look at the view.
func (v *view) each(k kind, do func(*resource)) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, r := range v.byName[k] {
		do(r)
	}
}

// since is what changed after seq; see changelog.
func (v *view) since(seq uint64) (changes []change, now uint64, ok bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.log.since(seq)
}
