package xds

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that all other messages take
)

// Codec is the gRPC codec that sends responses around bytes shared between
// streams; every other message goes to the standard one.
func Codec() encoding.CodecV2 { return encoding.GetCodecV2("proto") }
