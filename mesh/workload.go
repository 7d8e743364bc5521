package mesh

import (
	"github.com/ensign-mesh/ensign/authz"
	"github.com/ensign-mesh/ensign/identity"
)

// Workload is one pod: the inbound side of the mesh. Two workloads whose
// Inbound are deeply equal get the same inbound configuration, and share the pointer.
type Workload struct {
	Ref     Ref
	UID     string
	Node    string
	Account identity.ServiceAccount
	IPs     []string
	Labels  map[string]string
	// Sidecar: label security.istio.io/tlsMode is istio.
	Sidecar bool
	// Ready is false while the pod is terminating or failed; it may still hold its identity.
	Ready   bool
	Inbound *Inbound
}

// Inbound is all that the inbound configuration of a workload depends on.
type Inbound struct {
	Namespace string
	Ports     []InboundPort // sorted by number
	MTLS      PeerMTLS
	// Policies that select the workload, the root namespace's included, sorted by
	// namespace and name.
	Policies []*authz.Policy
	// Quarantined: the workload's identity is cut off, so that nobody is let in.
	Quarantined bool
	// Origins are the PeerAuthentications and AuthorizationPolicies in force.
	Origins []Ref
}

// InboundPort is a port that some service sends to.
type InboundPort struct {
	Number   uint32 // the pod's port
	Protocol Protocol
	// Service that the port is served for (the first by host), for Istio's names.
	Host        string
	ServicePort uint32
}

// MTLSMode is PeerAuthentication's mode with UNSET and inheritance resolved.
type MTLSMode string

// Modes. The zero value is not a mode: an unresolved one must not pass for DISABLE.
const (
	Strict     MTLSMode = "STRICT"
	Permissive MTLSMode = "PERMISSIVE"
	Disable    MTLSMode = "DISABLE"
)

// PeerMTLS is what a workload demands of its clients.
type PeerMTLS struct {
	Mode  MTLSMode
	Ports map[uint32]MTLSMode // exceptions by the pod's port
}

// For is the mode of one port.
func (m PeerMTLS) For(port uint32) MTLSMode {
	if mode, ok := m.Ports[port]; ok {
		return mode
	}
	return m.Mode
}
