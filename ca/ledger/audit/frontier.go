package audit

import "golang.org/x/mod/sumdb/tlog"

// frontier is the right edge of a Merkle tree: the roots of its complete
// subtrees, largest first.
type frontier struct {
	size  int64
	roots []tlog.Hash
	trail *trail
}

// add appends a leaf: as many subtrees merge as the size has trailing ones.
func (f *frontier) add(leaf tlog.Hash) {
	hash := leaf
	for n := f.size; n&1 == 1; n >>= 1 {
		last := len(f.roots) - 1
		f.trail.join(last, f.roots[last], hash)
		hash = tlog.NodeHash(f.roots[last], hash)
		f.roots = f.roots[:last]
	}
	f.roots = append(f.roots, hash)
	f.size++
}

// root folds the subtrees from the right (RFC 6962 section 2.1).
func (f *frontier) root() tlog.Hash { return f.fold(nil) }

// track remembers what proves that the next leaf is in the tree.
func (f *frontier) track() { f.trail = &trail{at: len(f.roots)} }

// proof is that of the tracked leaf in the tree as it is now.
func (f *frontier) proof() tlog.RecordProof {
	t := f.trail.copy()
	f.fold(t)
	return t.proof
}

func (f *frontier) fold(t *trail) tlog.Hash {
	if f.size == 0 {
		empty, _ := tlog.TreeHash(0, nil)
		return empty
	}
	last := len(f.roots) - 1
	hash := f.roots[last]
	for i := last - 1; i >= 0; i-- {
		t.join(i, f.roots[i], hash)
		hash = tlog.NodeHash(f.roots[i], hash)
	}
	return hash
}

// trail collects the proof of one leaf: the siblings on its way up, lowest first.
// A nil trail follows nothing.
type trail struct {
	at    int // place of the leaf's subtree among the roots
	proof tlog.RecordProof
}

// join follows the merge of the subtrees at a place and right of it.
func (t *trail) join(at int, left, right tlog.Hash) {
	switch {
	case t == nil:
	case t.at == at:
		t.proof = append(t.proof, right)
	case t.at == at+1:
		t.at, t.proof = at, append(t.proof, left)
	}
}

func (t *trail) copy() *trail {
	return &trail{at: t.at, proof: append(tlog.RecordProof(nil), t.proof...)}
}
