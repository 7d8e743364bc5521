package xds

import (
	"google.golang.org/grpc/mem"
)

// response is one answer to a client, written around the shared bytes of its
// resources. Only [Codec] can send it.
type response struct {
	typeURL, nonce string
	// sotw: a DiscoveryResponse with this version; else a DeltaDiscoveryResponse.
	sotw      bool
	version   string
	resources []*resource
	removed   []string
}

// encode is the wire form. No resource is copied.
func (r *response) encode() mem.BufferSlice {
	out := make(mem.BufferSlice, 0, len(r.resources)+1)
	if r.sotw {
		for _, res := range r.resources {
			out = append(out, res.state)
		}
		var tail []byte
		tail = appendBytes(tail, respVersion, r.version)
		tail = appendBytes(tail, respType, r.typeURL)
		return append(out, mem.SliceBuffer(appendBytes(tail, respNonce, r.nonce)))
	}
	for _, res := range r.resources {
		out = append(out, res.delta)
	}
	var tail []byte
	tail = appendBytes(tail, deltaType, r.typeURL)
	tail = appendBytes(tail, deltaNonce, r.nonce)
	for _, name := range r.removed {
		tail = appendBytes(tail, deltaRemovals, name)
	}
	return append(out, mem.SliceBuffer(tail))
}

// size is the length of the wire form in bytes, but for the few of its tail
// that name the type.
func (r *response) size() int {
	n := len(r.typeURL) + len(r.nonce) + len(r.version)
	for _, res := range r.resources {
		if r.sotw {
			n += res.state.Len()
		} else {
			n += res.delta.Len()
		}
	}
	for _, name := range r.removed {
		n += len(name)
	}
	return n
}
