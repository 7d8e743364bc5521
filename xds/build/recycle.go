package build

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// recycleMetadata is where a filter chain carries the revision that it was replaced for.
const recycleMetadata = "ensign.recycled"

// Recycle is the same listener with other mTLS filter chains, which do the same:
// Envoy drains the connections of the old ones, everybody's, and closes within
// its drain time what is still open then. It is how connections are cut where the
// agent may not end one alone. Another revision is another replacement.
func Recycle(inbound Resource, revision uint64) Resource {
	l, ok := inbound.Message.(*listenerv3.Listener)
	if !ok {
		return inbound
	}
	next := proto.Clone(l).(*listenerv3.Listener)
	for _, chain := range next.FilterChains {
		if chain.TransportSocket != nil {
			chain.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
				recycleMetadata: {Fields: map[string]*structpb.Value{"revision": structpb.NewNumberValue(float64(revision))}},
			}}
		}
	}
	inbound.Message = next
	return inbound
}
