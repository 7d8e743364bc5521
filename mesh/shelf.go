package mesh

// shelf holds the compiled objects of one kind, findable by namespace.
type shelf[T any] struct {
	all         map[Key]T
	byNamespace map[string]map[Key]T
}

func newShelf[T any]() *shelf[T] {
	return &shelf[T]{all: map[Key]T{}, byNamespace: map[string]map[Key]T{}}
}

func (s *shelf[T]) put(k Key, v T) {
	s.all[k] = v
	in := s.byNamespace[k.Namespace]
	if in == nil {
		in = map[Key]T{}
		s.byNamespace[k.Namespace] = in
	}
	in[k] = v
}

func (s *shelf[T]) drop(k Key) {
	delete(s.all, k)
	delete(s.byNamespace[k.Namespace], k)
	if len(s.byNamespace[k.Namespace]) == 0 {
		delete(s.byNamespace, k.Namespace)
	}
}

// index finds the owners of a value, e.g. the pods that have an address.
type index[K, V comparable] map[K]Set[V]

func (x index[K, V]) add(k K, v V) {
	if x[k] == nil {
		x[k] = Set[V]{}
	}
	x[k].Add(v)
}

func (x index[K, V]) remove(k K, v V) {
	delete(x[k], v)
	if len(x[k]) == 0 {
		delete(x, k)
	}
}
