package mesh

import (
	"cmp"
	"time"
)

// age orders objects that compete: the oldest first, then by namespace and name.
type age struct {
	created time.Time
	key     Key
}

func (a age) compare(b age) int {
	return cmp.Or(a.created.Compare(b.created), compareKeys(a.key, b.key))
}

// before is [age.compare] where, of objects of one age, those of a namespace go first.
func (a age) before(b age, namespace string) int {
	foreign := func(k Key) int {
		if k.Namespace == namespace {
			return 0
		}
		return 1
	}
	return cmp.Or(a.created.Compare(b.created), cmp.Compare(foreign(a.key), foreign(b.key)), compareKeys(a.key, b.key))
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
