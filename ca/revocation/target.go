package revocation

// Verb is what is done to a target. Values are stable: the ledger holds them.
type Verb string

// The verbs.
const (
	// Revoke ends the certificates that exist, and the proofs that they came from.
	Revoke Verb = "revoke"
	// Quarantine keeps an identity out, in both directions, until it is released.
	Quarantine Verb = "quarantine"
	// Release ends a quarantine.
	Release Verb = "release"
)

// Kind is what a target names. Values are stable.
type Kind string

// The kinds of targets.
const (
	Serial         Kind = "serial"         // one certificate, lower-case hex, and what was renewed from it
	ID             Kind = "id"             // a SPIFFE ID
	Pod            Kind = "pod"            // NAMESPACE/NAME
	ServiceAccount Kind = "serviceaccount" // NAMESPACE/NAME
	IssuerSerial   Kind = "issuer"         // lower-case hex
)

// Target is who is meant.
type Target struct {
	Kind  Kind
	Value string
}

// String is the form that the ledger holds, "KIND:VALUE".
func (t Target) String() string { return string(t.Kind) + ":" + t.Value }
