package xds

import (
	"google.golang.org/grpc/encoding"
	standard "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// maxRequest is how large one request may be, in bytes.
const maxRequest = 4 << 20

// Codec is the gRPC codec that sends responses around bytes shared between
// streams; every other message goes to the standard one. Install it by
// grpc.ForceServerCodecV2.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(standard.Name)} }

type codec struct{ standard encoding.CodecV2 }

// received is a request with its size on the wire. One above the limit is not decoded.
type received struct {
	message proto.Message
	size    int
}

// Name is the standard codec's: the bytes on the wire are the same.
func (c codec) Name() string { return c.standard.Name() }

// Marshal writes a response by hand.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		return r.encode(), nil
	}
	return c.standard.Marshal(v)
}

// Unmarshal notes the size of a request.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*received)
	if !ok {
		return c.standard.Unmarshal(data, v)
	}
	if r.size = data.Len(); r.size > maxRequest {
		return nil
	}
	return c.standard.Unmarshal(data, r.message)
}
