package audit

import "golang.org/x/mod/sumdb/tlog"

// frontier is the right edge of a Merkle tree: the roots of its complete
// subtrees, largest first.
type frontier struct {
	size  int64
	roots []tlog.Hash
}

// add appends a leaf: as many subtrees merge as the size has trailing ones.
func (f *frontier) add(leaf tlog.Hash) {
	hash := leaf
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		hash = tlog.NodeHash(f.roots[last], hash)
		f.roots = f.roots[:last]
	}
	f.roots = append(f.roots, hash)
	f.size++
}

// root folds the subtrees from the right (RFC 6962 section 2.1).
func (f *frontier) root() tlog.Hash {
	if f.size == 0 {
		empty, _ := tlog.TreeHash(0, nil)
		return empty
	}
	last := len(f.roots) - 1
	hash := f.roots[last]
	for i := last - 1; i >= 0; i-- {
		hash = tlog.NodeHash(f.roots[i], hash)
	}
	return hash
}
