package connections

import "time"

// Sighting is a peer whose certificate Envoy met: told when it is new, and again
// at most once in ten minutes.
type Sighting struct {
	// Fingerprint (SHA-256) and Serial are lower-case hex, the latter without leading
	// zeros. Of a server Envoy does not tell the serial.
	Fingerprint, Serial     string
	SPIFFEID, IssuerSubject string
	NotBefore, NotAfter     time.Time
	SeenAt                  time.Time
	// Inbound: the peer was a client; else it was a server.
	Inbound bool
}
