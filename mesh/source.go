package mesh

// Update is what a source hands over in one piece: applied wholly or not at all.
type Update struct {
	Upserts []Object
	Deletes []Ref
}

// Empty says whether nothing would change.
func (u Update) Empty() bool { return len(u.Upserts) == 0 && len(u.Deletes) == 0 }
