package build

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/mesh"
)

const (
	tlsSocket = "envoy.transport_sockets.tls"
	rawSocket = "envoy.transport_sockets.raw_buffer"
	// nobody is the one SAN that is accepted where no server can prove itself. No
	// CA issues it: .invalid is reserved and the path is no service account's.
	nobody = "spiffe://ensign.invalid/nobody"
)

// mutualTLS is the client side of mTLS towards one cluster.
type mutualTLS struct {
	ids        []string // accepted SPIFFE IDs; none refuses every server
	serverName string
	protocol   mesh.Protocol
}

// socket is the transport socket: exact names, and no resumed session, since
// one would outlive its certificate.
func (m mutualTLS) socket() *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: tlsSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(&tlsv3.UpstreamTlsContext{
		Sni:            m.serverName,
		MaxSessionKeys: wrapperspb.UInt32(0),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			// Envoy's clients stop at TLS 1.2 unless told.
			TlsParams: &tlsv3.TlsParameters{
				TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2,
				TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3,
			},
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{secret(secretSVID)},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: sanMatchers(m.ids)},
					ValidationContextSdsSecretConfig: secret(secretBundle),
				},
			},
			AlpnProtocols: offers(m.protocol),
		},
	})}}
}

// offers is what the client offers by ALPN: "istio" tells the server that mTLS
// is the mesh's, the other is what the server picks.
func offers(p mesh.Protocol) []string {
	switch p {
	case mesh.HTTP:
		return []string{"istio", "http/1.1"}
	case mesh.HTTP2:
		return []string{"istio", "h2"}
	default:
		return []string{"istio"}
	}
}

// sanMatchers accept exactly the IDs. An empty list would accept every
// certificate of the mesh, so none becomes one that nobody has.
func sanMatchers(ids []string) []*tlsv3.SubjectAltNameMatcher {
	if len(ids) == 0 {
		ids = []string{nobody}
	}
	out := make([]*tlsv3.SubjectAltNameMatcher, 0, len(ids))
	for _, id := range ids {
		out = append(out, &tlsv3.SubjectAltNameMatcher{
			SanType: tlsv3.SubjectAltNameMatcher_URI,
			Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: id}},
		})
	}
	return out
}

// widened is the socket accepting the IDs instead; another kind of socket stays.
func widened(socket *corev3.TransportSocket, ids []string) *corev3.TransportSocket {
	var context tlsv3.UpstreamTlsContext
	if socket.GetTypedConfig().UnmarshalTo(&context) != nil {
		return socket
	}
	context.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext().MatchTypedSubjectAltNames = sanMatchers(ids)
	return &corev3.TransportSocket{Name: socket.GetName(), ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(&context)}}
}

// union is the sorted set of what is in a or in b.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// plainSocket is a connection without TLS.
func plainSocket() *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: rawSocket, ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(&rawv3.RawBuffer{})}}
}
