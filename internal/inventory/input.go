package inventory

import (
	"context"
	"time"

	"github.com/ensign-mesh/ensign/ca"
	"github.com/ensign-mesh/ensign/ca/report"
	"github.com/ensign-mesh/ensign/identity"
)

// Input is all that Find looks at.
type Input struct {
	Now time.Time
	// Live are the ledger's SVIDs that have not expired.
	Live []ca.Recorded
	// Record answers for certificates that are not among them.
	Record Record
	// Mesh is who exists.
	Mesh      identity.Directory
	Reports   []report.Report
	Sightings []report.Sighting
	// Cut are the certificates that are cut off, by fingerprint.
	Cut map[string]Cut
	// Surges are the identities that were refused for asking too much.
	Surges []Surging
	// LongestLife is the profile's; MaxTokenAge how long renewals by SVID alone may go on.
	LongestLife, MaxTokenAge time.Duration
}

// Record is the ledger's answer about single certificates.
type Record interface {
	// Holds says whether a certificate was issued, by its serial or the SHA-256 of
	// its DER, lower-case hex.
	Holds(ctx context.Context, serialOrFingerprint string) (bool, error)
	// Issued says whether an SVID of this identity, issuer and validity was issued:
	// all that a client's Envoy tells of a server.
	Issued(ctx context.Context, spiffeID, issuerSubject string, notBefore, notAfter time.Time) (bool, error)
}

// Cut is a certificate that is cut off since a time.
type Cut struct {
	Serial string
	Since  time.Time
}

// Surging is an identity that asks for more certificates than it may have.
type Surging struct {
	SPIFFEID string
	Since    time.Time
	Refused  int
}

// Totals are what was looked at.
type Totals struct{ Identities, LiveSVIDs, Served, Sightings int }
