package revocation

import "time"

// List is who is cut off at one revision. It is immutable.
type List struct {
	// Revision is one more than the ledger index of the newest act; 0 if there never was one.
	Revision uint64
	// Certificates are the live SVIDs that acts in force cover, by fingerprint,
	// each once.
	Certificates []Certificate
	// Identities are the SPIFFE IDs in quarantine, sorted.
	Identities []string
	// Issuers are those whose key is not to be believed any more, by serial.
	Issuers []Issuer
	// Acts are those in force, oldest first.
	Acts []Act
}

// Certificate is one SVID that is cut off.
type Certificate struct {
	// Fingerprint is the SHA-256 of the DER; it and the serials are lower-case hex.
	Fingerprint string
	Serial      string
	// Key is the SHA-256 of its public key, as the ledger has it.
	Key           string
	SPIFFEID      string
	Pod           string // NAMESPACE/NAME; "" if the proof was bound to an account only
	PodUID        string
	IssuerSerial  string
	IssuerSubject string
	IssuedAt      time.Time
	NotBefore     time.Time
	NotAfter      time.Time
	// Act is the ledger index of the first act in force that covers it.
	Act uint64
	// Because says why that act covers it: "itself", or "renewed from SERIAL".
	Because string
	// Quarantined: only a quarantine covers it, so that its identity is denied and
	// its digest need not be.
	Quarantined bool
}

// Issuer is a CA certificate that is cut off with all its leaves.
type Issuer struct {
	Serial   string // lower-case hex
	Subject  string // RFC 2253, as Go and Envoy print it
	NotAfter time.Time
}

// Act is one entry of the ledger that cut somebody off or let it back in.
type Act struct {
	Index  uint64
	Time   time.Time
	Actor  string
	Verb   Verb
	Target Target
	Reason string
}
