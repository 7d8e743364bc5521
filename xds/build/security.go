package build

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/types/known/structpb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/ensign-mesh/ensign/mesh"
)

// The endpoint metadata that picks one of a cluster's transport sockets, in
// Istio's words.
const (
	tlsModeLabel = "tlsMode"
	tlsModeMesh  = "istio"
	tlsModeNone  = "disabled"
)

// security is how a cluster's servers are spoken to.
type security int

const (
	plain    security = iota
	auto              // mTLS with the endpoints that have a sidecar
	mutual            // mTLS with all
	unserved          // a mode that is not supported: nobody is spoken to
)

// securityOf reads the rule's TLS mode. What is not supported must not end up in
// plaintext.
func securityOf(s *mesh.Snapshot, tls *networking.ClientTLSSettings) security {
	switch {
	case tls == nil && s.Config.AutoMTLS:
		return auto
	case tls == nil, tls.GetMode() == networking.ClientTLSSettings_DISABLE:
		return plain
	case tls.GetMode() == networking.ClientTLSSettings_ISTIO_MUTUAL:
		return mutual
	default:
		return unserved
	}
}

// accepted are the SPIFFE IDs that servers of the host may have; a rule with
// ISTIO_MUTUAL may name others, though none in quarantine.
func accepted(s *mesh.Snapshot, host string, how security, tls *networking.ClientTLSSettings) []string {
	switch how {
	case mutual:
		if names := tls.GetSubjectAltNames(); len(names) > 0 {
			return slices.DeleteFunc(union(names, nil), s.Denied.Quarantined)
		}
		return accountsOf(s, host)
	case auto:
		return accountsOf(s, host)
	default:
		return nil
	}
}

func accountsOf(s *mesh.Snapshot, host string) []string {
	set := s.Endpoints[host]
	if set == nil {
		return nil
	}
	var ids []string
	for _, id := range set.Accounts {
		if !id.IsZero() {
			ids = append(ids, id.String())
		}
	}
	return union(ids, nil)
}

// secure gives the cluster its transport sockets.
func secure(c *clusterv3.Cluster, how security, m mutualTLS) {
	switch how {
	case auto:
		c.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{
			{Name: "tlsMode-" + tlsModeMesh, Match: tlsMode(tlsModeMesh), TransportSocket: m.socket()},
			{Name: "tlsMode-" + tlsModeNone, Match: &structpb.Struct{}, TransportSocket: plainSocket()},
		}
	case mutual, unserved:
		c.TransportSocket = m.socket()
	}
}

// tlsMode is the metadata {tlsMode: MODE}.
func tlsMode(mode string) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{tlsModeLabel: structpb.NewStringValue(mode)}}
}

// Accepts says whether a rule has clients accept one of the identities. When
// their quarantine begins or ends, the clusters of the hosts that the rule covers
// are built again.
func Accepts(rule *mesh.DestinationRule, ids []string) bool {
	policies := []*networking.TrafficPolicy{rule.Spec.GetTrafficPolicy()}
	for _, subset := range rule.Spec.GetSubsets() {
		policies = append(policies, subset.GetTrafficPolicy())
	}
	return slices.ContainsFunc(policies, func(p *networking.TrafficPolicy) bool {
		return acceptsAny(p.GetTls(), ids) ||
			slices.ContainsFunc(p.GetPortLevelSettings(), func(port *networking.TrafficPolicy_PortTrafficPolicy) bool {
				return acceptsAny(port.GetTls(), ids)
			})
	})
}

func acceptsAny(tls *networking.ClientTLSSettings, ids []string) bool {
	return slices.ContainsFunc(tls.GetSubjectAltNames(), func(name string) bool { return slices.Contains(ids, name) })
}
