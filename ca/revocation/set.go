package revocation

// Set is what proxies are to check their peers' certificates against. It is immutable.
type Set struct {
	// Revision counts up with every change of CRLs, in this process and in the next.
	Revision uint64
	// For is the revision of the list that the set was made for. While Problem is not
	// empty, some of the list is not in it.
	For uint64
	// CRLs are DER, by their issuers' serials: one of every issuer that lives and is not
	// revoked, each valid for [ca.CRLOverlap] longer than its issuer. Empty: none is in force.
	CRLs [][]byte
	// Problem is why no CRL is in force though somebody is cut off, or why those in force
	// are behind the list, with the cure; "" if they are as they should be.
	Problem string
	// Warnings name certificates that CRLs cannot say the truth about, since the key that
	// would have to sign is gone.
	Warnings []string
}
