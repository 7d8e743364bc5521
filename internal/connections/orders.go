package connections

// Orders are the whole of what is cut off; later ones replace earlier ones.
type Orders struct {
	// Revision counts up. 0: there never was an order.
	Revision uint64
	// Certificates are SHA-256 of the DER, lower-case hex.
	Certificates []string
	// Identities are SPIFFE IDs of which every connection ends, both ways,
	// whatever certificate it shows.
	Identities []string
	// Issuers are subjects (RFC 2253) of CAs whose every leaf is cut off.
	Issuers []string
	// SilentPorts are the ports of this pod on which Envoy may tell of a connection
	// only a second after it began ([SilentPeriod]), as its client is silent. Where
	// there are any, orders count as carried out that much later.
	SilentPorts []uint16
}

// verdict is Orders made for asking.
type verdict struct{ certificates, identities, issuers map[string]struct{} }

func newVerdict(o Orders) verdict {
	return verdict{certificates: set(o.Certificates), identities: set(o.Identities), issuers: set(o.Issuers)}
}

func set(values []string) map[string]struct{} {
	s := make(map[string]struct{}, len(values))
	for _, value := range values {
		s[value] = struct{}{}
	}
	return s
}

// cuts says whether a peer is cut off.
func (v verdict) cuts(n name) bool {
	return has(v.certificates, n.fingerprint) || has(v.identities, n.uri) || has(v.issuers, n.issuer)
}

func has[K comparable](s map[K]struct{}, key K) bool {
	_, ok := s[key]
	return ok
}
