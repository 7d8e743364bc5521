package build

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/ensign-mesh/ensign/mesh"
)

// meshALPN are the marks by which sidecars, ours and Istio's, offer the mesh's
// own TLS.
var meshALPN = []string{"istio-peer-exchange", "istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"}

// How a connection begins, as Envoy detects it.
const (
	transportTLS = "tls"
	transportRaw = "raw_buffer"
)

// handshakeTimeout ends a connection that was accepted under an older verdict
// and would finish its handshake under it later.
const handshakeTimeout = 5 * time.Second

// chainBuilder makes the filter chains of one listener.
type chainBuilder struct{ tls *corev3.TransportSocket }

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
		return []*listenerv3.FilterChain{t.chain("", false)}
	case t.http && permissive:
		return []*listenerv3.FilterChain{b.mutual(t, nil), t.chain(transportRaw, false)}
	case t.http:
		return []*listenerv3.FilterChain{b.mutual(t, nil)}
	case permissive:
		return []*listenerv3.FilterChain{b.mutual(t, meshALPN), t.chain(transportTLS, false), t.chain(transportRaw, false)}
	default:
		return []*listenerv3.FilterChain{b.mutual(t, meshALPN), b.mutual(t, nil)}
	}
}

func (b chainBuilder) mutual(t inboundTarget, alpn []string) *listenerv3.FilterChain {
	c := t.chain(transportTLS, true)
	c.FilterChainMatch.ApplicationProtocols = alpn
	c.Filters = append([]*listenerv3.Filter{noteIssuer()}, c.Filters...)
	c.TransportSocket = b.tls
	c.TransportSocketConnectTimeout = durationpb.New(handshakeTimeout)
	return c
}

// chain is one way in; transport is how its connections begin, "" for any. Envoy
// does not fall back from a transport that has a chain to "any", so a port that
// names one names all that it takes.
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
