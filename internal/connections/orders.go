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
	// SilentPorts are the ports of this pod on which Envoy may tell of a connection
	// only a second after it began ([SilentPeriod]), as its client is silent. Where
	// there are any, orders count as carried out that much later.
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

// verdict is Orders made for asking.
type verdict struct {
	fingerprints, identities, issuers map[string]struct{}
	served                            map[served]struct{}
}

// served is what an Envoy that cannot tell a server's fingerprint tells of it. Two
// certificates that one account got in the same second are one in it.
type served struct {
	uri, issuer         string
	notBefore, notAfter int64 // Unix seconds
}

func newVerdict(o Orders) verdict {
	v := verdict{
		fingerprints: map[string]struct{}{}, identities: set(o.Identities), issuers: set(o.Issuers),
		served: map[served]struct{}{},
	}
	for _, c := range o.Certificates {
		v.fingerprints[c.Fingerprint] = struct{}{}
		v.served[served{c.SPIFFEID, c.IssuerSubject, c.NotBefore.Unix(), c.NotAfter.Unix()}] = struct{}{}
	}
	return v
}

func set(values []string) map[string]struct{} {
	s := make(map[string]struct{}, len(values))
	for _, value := range values {
		s[value] = struct{}{}
	}
	return s
}

// cuts says whether a peer is cut off.
func (v verdict) cuts(p *peer) bool {
	if has(v.identities, p.uri) || has(v.issuers, p.issuer) {
		return true
	}
	if p.inbound || p.fingerprint != "" {
		return has(v.fingerprints, p.fingerprint)
	}
	return has(v.served, served{p.uri, p.issuer, p.notBefore.Unix(), p.notAfter.Unix()})
}

func has[K comparable](s map[K]struct{}, key K) bool {
	_, ok := s[key]
	return ok
}
