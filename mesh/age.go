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

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
