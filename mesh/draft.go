package mesh

import "maps"

// draft is one map of the next snapshot. It is the last snapshot's own map until
// the first write, and remembers which keys were written.
type draft[K comparable, V comparable] struct {
	entries map[K]V
	copied  bool
	changed Set[K]
}

func draftOf[K comparable, V comparable](base map[K]V) *draft[K, V] {
	return &draft[K, V]{entries: base, changed: Set[K]{}}
}

// put writes v, unless that pointer is there already; the zero V deletes.
func (d *draft[K, V]) put(k K, v V) {
	var zero V
	old, had := d.entries[k]
	if old == v && (had || v == zero) {
		return
	}
	if !d.copied {
		d.entries, d.copied = maps.Clone(d.entries), true
		if d.entries == nil {
			d.entries = map[K]V{}
		}
	}
	d.changed.Add(k)
	if v == zero {
		delete(d.entries, k)
		return
	}
	d.entries[k] = v
}

// lists is a draft of slices, which have no pointer to compare: its caller
// writes only what differs.
type lists[K comparable, V any] struct {
	entries map[K][]V
	copied  bool
	changed Set[K]
}

func listsOf[K comparable, V any](base map[K][]V) *lists[K, V] {
	return &lists[K, V]{entries: base, changed: Set[K]{}}
}

func (l *lists[K, V]) put(k K, v []V) {
	if !l.copied {
		l.entries, l.copied = maps.Clone(l.entries), true
		if l.entries == nil {
			l.entries = map[K][]V{}
		}
	}
	l.changed.Add(k)
	if len(v) == 0 {
		delete(l.entries, k)
		return
	}
	l.entries[k] = v
}
