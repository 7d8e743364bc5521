package build

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/mesh"
)

// meshALPN are the marks by which sidecars, ours and Istio's, offer the mesh's
// own TLS.
var meshALPN = []string{"istio-peer-exchange", "istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"}

// handshakeTimeout ends a connection that was accepted under an older verdict
// and would finish its handshake under it later.
const handshakeTimeout = 5e9

// chainBuilder makes the filter chains of one listener.
type chainBuilder struct{ trustDomain spiffeid.TrustDomain }

// chains are the ways into a target. The mTLS chain is the same, byte for byte,
// in STRICT and PERMISSIVE, so that a change between them drains no mTLS
// connection. A mode that was never resolved is STRICT.
//
// To an HTTP port TLS can only be the mesh's, whatever its ALPN says. On a TCP
// port TLS without the mesh's ALPN may be the application's own: PERMISSIVE hands
// it through, STRICT demands the mesh's certificates of it.
func (b chainBuilder) chains(t inboundTarget) []*listenerv3.FilterChain {
	permissive := t.mode == mesh.Permissive
	switch {
	case t.mode == mesh.Disable:
		return []*listenerv3.FilterChain{b.plain(t, "")}
	case t.http && permissive:
		return []*listenerv3.FilterChain{b.mutual(t, nil), b.plain(t, "raw_buffer")}
	case t.http:
		return []*listenerv3.FilterChain{b.mutual(t, nil)}
	case permissive:
		return []*listenerv3.FilterChain{b.mutual(t, meshALPN), b.plain(t, "tls"), b.plain(t, "raw_buffer")}
	default:
		return []*listenerv3.FilterChain{b.mutual(t, meshALPN), b.mutual(t, nil)}
	}
}

func (b chainBuilder) mutual(t inboundTarget, alpn []string) *listenerv3.FilterChain {
	c := t.chain("tls", true)
	c.FilterChainMatch.ApplicationProtocols = alpn
	c.TransportSocket = downstreamTLS(b.trustDomain)
	c.TransportSocketConnectTimeout = durationpb.New(handshakeTimeout)
	return c
}

// plain has no TLS of ours. transport is what was detected, "" for whatever.
func (b chainBuilder) plain(t inboundTarget, transport string) *listenerv3.FilterChain {
	return t.chain(transport, false)
}

func (t inboundTarget) chain(transport string, mutual bool) *listenerv3.FilterChain {
	match := &listenerv3.FilterChainMatch{TransportProtocol: transport}
	if t.port != 0 {
		match.DestinationPort = wrapperspb.UInt32(t.port)
	}
	filters := inboundTCP(t, mutual)
	if t.http {
		filters = []*listenerv3.Filter{inboundHTTP(t, mutual)}
	}
	return &listenerv3.FilterChain{Name: t.chainName(), FilterChainMatch: match, Filters: filters}
}
