package rotation

import (
	"crypto/x509"
	"time"

	"github.com/ensign-mesh/ensign/ca"
)

// Step is where a rotation stands. Values are stable.
type Step string

// The steps, in their order.
const (
	Preparing    Step = "preparing"
	Distributing Step = "distributing"
	Activating   Step = "activating"
	Retiring     Step = "retiring"
	Done         Step = "done"
)

// Trust is what everybody is to be told. It is immutable.
type Trust struct {
	// Sequence grows with every change; it is that of the ledger's entry, plus one.
	Sequence uint64
	// Bundle is the roots to trust.
	Bundle ca.Bundle
	// Root is the fingerprint of the root that SVIDs are to lead to.
	Root string
	// RenewWithin is how long SVIDs that lead to another root may take to be renewed.
	RenewWithin time.Duration
	// Links show how this mesh came to its roots: each is the certificate of a later
	// root's key, signed by the root before it. Oldest first; none of an expired or a
	// compromised root.
	Links []*x509.Certificate
}

// Status is where everything stands.
type Status struct {
	// Roots are all that there were, oldest first.
	Roots []RootStatus
	Trust *Trust
	// Rotation is the one that runs, or the last; nil if there never was one.
	Rotation *Rotation
}

// RootStatus is one root.
type RootStatus struct {
	Fingerprint string
	Certificate *x509.Certificate
	Place, Name string
	Trusted     bool
	Signing     bool
	Compromised bool
	// LiveSVIDs of the newest look at the population.
	LiveSVIDs int
	// Problem is why it could not sign now, and what to do, as far as is known; nil if it
	// could, and of a root that nobody needs. Since is zero if nobody knows.
	Problem      error
	ProblemSince time.Time
}

// Rotation is one rotation as people see it.
type Rotation struct {
	ID       string
	Options  Options
	Actor    string
	From, To string // fingerprints; To is "" while it is prepared
	Step     Step
	Since    time.Time
	Paused   bool
	// Reversed: it goes back to where it came from; From and To are exchanged.
	Reversed bool
	// Outcome is "running", "completed" or "rolled-back".
	Outcome string
	// Problem is what the last attempt at this step failed with; "" if it did not.
	Problem string
	Gate    Gate
	// RenewalsUntil is when the window ends; zero outside Activating.
	RenewalsUntil time.Time
	Timeline      []Event
}

// Gate is what a step waits for.
type Gate struct {
	// Name is "new-bundle", "new-root" or "old-root-gone"; "" if there is none.
	Name                                          string
	Instances, Ready, Skipped, Gone, Unverifiable int
	Laggards                                      []Laggard // by name
}

// Laggard is an instance that keeps a gate waiting, or would.
type Laggard struct {
	Name, SPIFFEID, Reason  string
	Connected, Unverifiable bool
	LastSeen, Until         time.Time
}

// Event is one entry of the ledger about a rotation.
type Event struct {
	Index  uint64
	Time   time.Time
	Verb   string
	Actor  string
	Detail string
}

// Plan is what a rotation would do.
type Plan struct {
	From                 RootStatus
	Place                string
	Instances, Connected int
	Laggards             []Laggard
	Steps, Warnings      []string
	// Refusal is why it can not be begun; nil if it can.
	Refusal error
}
