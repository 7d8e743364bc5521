package mesh

// Update is what a source hands over in one piece: applied wholly or not at all.
type Update struct {
	Upserts []Object
	Deletes []Ref
}

// Empty says whether nothing would change.
func (u Update) Empty() bool { return len(u.Upserts) == 0 && len(u.Deletes) == 0 }

// Unreadable is the Value of a PeerAuthentication or AuthorizationPolicy that a
// source found but could not decode. It fails closed: the last good policy of
// that name stays; where there is none, what it selects is denied (an
// AuthorizationPolicy) or demands mTLS (a PeerAuthentication).
type Unreadable struct {
	// Selector is its selector's matchLabels; nil selects the whole namespace (of
	// the root namespace: the mesh).
	Selector map[string]string
	// Reason says what could not be read.
	Reason string
}
