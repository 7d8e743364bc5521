package connections

import "time"

const (
	// maxPeers are the certificates known at a time.
	maxPeers = 16 << 10
	// maxCutPeers more are known of those that are cut off.
	maxCutPeers = 4 << 10
	// sightAgain is after how long a certificate is told of again.
	sightAgain = 10 * time.Minute
	// maxSightings wait to be taken; what comes above is told of with a later record.
	maxSightings = 1 << 10
)

// peer is one certificate on one side of Envoy.
type peer struct {
	name
	notBefore, notAfter time.Time
	cut                 bool
	connections         int // in the table
	sighted, seen       time.Time
}

// peerOf is the peer of a name; nil if there is no room for one more.
func (t *Table) peerOf(n name) (*peer, error) {
	if p := t.peers[n]; p != nil {
		return p, nil
	}
	cut, room := t.verdict.cuts(n), maxPeers
	if cut {
		room += maxCutPeers
	}
	if len(t.peers) >= room {
		return nil, nil
	}
	notBefore, notAfter, err := n.life()
	if err != nil {
		return nil, err
	}
	p := &peer{name: n, notBefore: notBefore, notAfter: notAfter, cut: cut}
	t.peers[n] = p
	return p, nil
}

// sight tells of a peer if it was not told of lately.
func (t *Table) sight(p *peer, now time.Time) {
	p.seen = now
	if now.Sub(p.sighted) < sightAgain || len(t.sightings) >= maxSightings {
		return
	}
	p.sighted = now
	t.sightings = append(t.sightings, Sighting{
		Fingerprint: p.fingerprint, Serial: p.serial, SPIFFEID: p.uri, IssuerSubject: p.issuer,
		NotBefore: p.notBefore, NotAfter: p.notAfter, SeenAt: now, Inbound: p.inbound,
	})
	if len(t.sightings) == 1 {
		close(t.sighted)
		t.sighted = make(chan struct{})
	}
}

// Sightings takes those that nobody took yet; the channel is closed when there are more.
func (t *Table) Sightings() ([]Sighting, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := t.sightings
	t.sightings = nil
	return taken, t.sighted
}

// forgetPeers drops those that have no connection and would be told of anew.
func (t *Table) forgetPeers(now time.Time) {
	for n, p := range t.peers {
		if p.connections == 0 && now.Sub(p.seen) >= sightAgain {
			delete(t.peers, n)
		}
	}
}
