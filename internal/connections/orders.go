package connections

import "time"

// Orders are the whole of what is cut off; later ones replace earlier ones.
type Orders struct {
	// Revision counts up. 0: there never was an order.
	Revision     uint64
	Certificates []Certificate
	// Identities are SPIFFE IDs of which every connection ends, both ways,
	// whatever certificate it shows.
	Identities []string
	// Issuers are subjects (RFC 2253) of CAs whose every leaf is cut off.
	Issuers []string
	// SilentPorts are the ports of this pod on which Envoy may know a connection's
	// peer only with its first byte: what stays unnamed there is ended.
	SilentPorts []uint16
}

// Certificate is one that is cut off, in all the ways that Envoy may name it.
type Certificate struct {
	// Fingerprint is the SHA-256 of the DER, lower-case hex.
	Fingerprint string
	SPIFFEID    string
	// IssuerSubject is in RFC 2253, as Envoy prints it.
	IssuerSubject string
	// NotBefore and NotAfter are compared by the second.
	NotBefore, NotAfter time.Time
}
