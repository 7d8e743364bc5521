package xds

import (
	"time"

	"github.com/ensign-mesh/ensign/mesh"
)

// ProxyStatus is how one connected client stands.
type ProxyStatus struct {
	Name         string // NAMESPACE/POD
	SPIFFEID     string
	Bound        bool // its proof is bound to this very pod, and not only to its account
	NodeID       string
	EnvoyVersion string // "1.40.0"; for another client its own words; "" if it did not say
	ConnectedAt  time.Time
	// DenyAcked: on this stream the client has said that it uses the newest content
	// of every filter that refuses who is cut off (build.Denials) and that it has. False
	// where it refused one or has none, too.
	DenyAcked bool
	Types     []TypeStatus // in the order in which they are sent
}

// State says whether a client has what it should have.
type State string

// States of one type of one client. NACKED wins over STALE.
const (
	Synced State = "SYNCED"
	// Stale: something is sent and not acknowledged, or waits to be sent.
	Stale State = "STALE"
	// Nacked: the client refused content that is still current.
	Nacked State = "NACKED"
)

// TypeStatus is how one client stands with one type of resource.
type TypeStatus struct {
	TypeURL   string
	State     State
	Resources int       // that the client has
	AckedAt   time.Time // zero before the first acknowledgement
	// Rejections are in force: content that the client refused and that has not changed since.
	Rejections []Rejection
}

// Rejection is one resource that one client refused.
type Rejection struct {
	Resource string
	Version  string // content hash
	Error    string // Envoy's error_detail
	Origins  []mesh.Ref
	At       time.Time
}

// Hold is content that is kept back from all clients of one Envoy version,
// because two identities of that version refused it.
type Hold struct {
	EnvoyVersion string
	TypeURL      string
	Resource     string
	Version      string
	RefusedBy    []string // SPIFFE IDs, sorted
	Error        string   // the first refusal's
	Origins      []mesh.Ref
	Since        time.Time
}
