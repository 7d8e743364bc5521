package mesh

import (
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	networking "istio.io/api/networking/v1alpha3"
)

// Service is what clients can call: a Kubernetes Service or a host of a ServiceEntry.
type Service struct {
	Ref  Ref
	Host string // reviews.shop.svc.cluster.local
	// Addresses are the virtual IPs; empty for a headless service.
	Addresses []string
	Ports     []ServicePort // sorted by number
	// External: a ServiceEntry's host with location MESH_EXTERNAL.
	External bool
	// ExportTo are namespaces, "." already resolved; "*" is everywhere. Never empty.
	ExportTo []string
}

// ServicePort is one port of a service.
type ServicePort struct {
	Name     string
	Number   uint32
	Protocol Protocol
}

// Protocol is what Envoy should speak on a port.
type Protocol string

// Protocols, from appProtocol or the prefix of the port's name as in Istio.
const (
	HTTP  Protocol = "HTTP"
	HTTP2 Protocol = "HTTP2" // also GRPC
	TCP   Protocol = "TCP"   // also TLS, HTTPS, Mongo and the like, and what has no name
)

// IsHTTP says whether requests can be seen.
func (p Protocol) IsHTTP() bool { return p == HTTP || p == HTTP2 }

// EndpointSet is who answers for a service.
type EndpointSet struct {
	Host string
	// Ports holds the ready endpoints by service port number, sorted by address.
	Ports map[uint32][]Endpoint
	// Accounts are, sorted, the SPIFFE IDs that may run this service: of every pod
	// behind it or selected by it, ready or not, and a ServiceEntry's
	// subjectAltNames. Empty: no server can prove itself; clients must refuse all.
	Accounts []spiffeid.ID
}

// Endpoint is one address of a service port.
type Endpoint struct {
	Address string
	Port    uint32
	// Account of the pod behind it; the zero ID when unknown.
	Account spiffeid.ID
	// MTLS: the server has a sidecar (label security.istio.io/tlsMode: istio) and
	// its PeerAuthentication for this port is not DISABLE.
	MTLS     bool
	Labels   map[string]string
	Workload Key
	// Region/Zone, "" if unknown; Weight 0 means 1.
	Region, Zone string
	Weight       uint32
}

// VirtualService is one VirtualService whose gateways include "mesh".
type VirtualService struct {
	Ref      Ref
	Hosts    []string // fully qualified
	ExportTo []string
	// Spec with every destination host fully qualified.
	Spec *networking.VirtualService
}

// DestinationRule is one DestinationRule.
type DestinationRule struct {
	Ref      Ref
	Host     string // fully qualified
	ExportTo []string
	Spec     *networking.DestinationRule
}
