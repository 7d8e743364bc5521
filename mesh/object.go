package mesh

import "fmt"

// Key names a namespaced object; Namespace is "" for cluster-scoped ones.
type Key struct{ Namespace, Name string }

func (k Key) String() string {
	if k.Namespace == "" {
		return k.Name
	}
	return k.Namespace + "/" + k.Name
}

// Ref points at one object of the user's, for messages and for culprits.
type Ref struct {
	// Kind as the user writes it, e.g. "VirtualService".
	Kind string
	Key
	// Where is "FILE:LINE" for a folder of YAML, "" otherwise.
	Where string
}

// String is "KIND NAMESPACE/NAME".
func (r Ref) String() string { return fmt.Sprintf("%s %s", r.Kind, r.Key) }

// ID is the ref without its place: two refs of one object have equal IDs.
func (r Ref) ID() Ref { return Ref{Kind: r.Kind, Key: r.Key} }

// Object is one input of the mesh as a source decoded it. Value is a pointer to
// the k8s.io/api or istio.io/client-go (v1) type of its kind and is never changed
// after it was handed over.
type Object struct {
	Ref   Ref
	Value any
}

// Problem is one object that was not taken, or only in part: what is wrong and
// what to write instead. The last good state of the object stays in force.
type Problem struct {
	Ref     Ref
	Field   string
	Message string
	// Fix says what to write instead; may be "".
	Fix string
}
