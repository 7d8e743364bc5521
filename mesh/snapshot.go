package mesh

import (
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// Snapshot is one picture of the world. It and all that it points at are
// immutable; a later snapshot shares every part that did not change, so that
// equal pointers mean an unchanged part.
type Snapshot struct {
	// Generation counts up by one with each snapshot of a process.
	Generation  uint64
	TrustDomain spiffeid.TrustDomain
	// SVIDLife is how long SVIDs of this mesh live at most; 0: not known. The same
	// in all snapshots of a process.
	SVIDLife   time.Duration
	Config     *Config
	Namespaces map[string]*Namespace
	// Accounts are the service accounts that exist.
	Accounts map[Key]*Account
	// Services by host, Kubernetes' and ServiceEntries' alike.
	Services map[string]*Service
	// Endpoints by host; every service has an entry, maybe an empty one.
	Endpoints map[string]*EndpointSet
	// Ports lists, sorted, the hosts that have a service port of this number.
	Ports map[uint32][]string
	// Addresses lists, sorted, the hosts of the services that claim a virtual IP.
	Addresses map[string][]string
	// Workloads are the pods with an address, by namespace and name.
	Workloads map[Key]*Workload
	// Routes holds the VirtualServices for the sidecars ("mesh" gateway) of each
	// host, oldest first. A host need not be a service; may be "*.suffix".
	Routes map[string][]*VirtualService
	// DestinationRules by host, in the order of their age.
	DestinationRules map[string][]*DestinationRule
	// Denied is who is cut off whatever policies say; never nil.
	Denied *Denied
}

// Denied is who is cut off. Lists are sorted and hold each value once.
type Denied struct {
	// Digests are certificates: SHA-256 of their DER, lower-case hex.
	Digests []string
	// Issuers are the subjects (RFC 2253) of issuers whose leaves nobody takes, also
	// those that no record holds.
	Issuers []string
	// Identities are SPIFFE IDs in quarantine: nobody takes their calls, and nobody calls them.
	Identities []string
}

// Config is the part of Istio's MeshConfig that Ensign obeys.
type Config struct {
	RootNamespace string // istio-system
	ClusterDomain string // cluster.local
	// Passthrough is outboundTrafficPolicy ALLOW_ANY (the default); false is REGISTRY_ONLY.
	Passthrough bool
	// AutoMTLS is enableAutoMtls (the default).
	AutoMTLS bool
}

// Namespace is one namespace.
type Namespace struct {
	Ref    Ref
	Labels map[string]string
}

// Account is one service account.
type Account struct {
	Ref Ref
	UID string
}
